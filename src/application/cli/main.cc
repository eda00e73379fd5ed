#include <fmt/format.h>

#include <exception>
#include <new>
#include <variant>

#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/standard_output.h"
#include "seesaw/types/status.h"

namespace seesaw::cli {
namespace {

ExitCode run_program(int argc, const char* const* argv) {
  reserve_standard_descriptors();
  const auto parsed = parse_command_line(argc, argv);
  if (const auto* exit_code = std::get_if<ExitCode>(&parsed)) return *exit_code;
  catch_interrupts();
  return std::visit([](const auto& args) { return run(args); }, std::get<CommandArgs>(parsed));
}

}  // namespace
}  // namespace seesaw::cli

int main(int argc, char** argv) {
  using seesaw::cli::ExitCode;
  ExitCode exit_code = ExitCode::kInternalError;
  try {
    exit_code = seesaw::cli::run_program(argc, argv);
  } catch (const seesaw::Error& error) {
    exit_code = seesaw::cli::fail(error.status());
  } catch (const std::bad_alloc&) {
    seesaw::cli::print_error("out of memory");
  } catch (const std::exception& error) {
    seesaw::cli::print_error(error.what());
  }
  return static_cast<int>(exit_code);
}
