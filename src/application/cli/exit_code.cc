#include "cli/exit_code.h"

#include <fmt/format.h>

#include <string>

#include "cli/standard_output.h"

namespace seesaw::cli {

ExitCode exit_code_of(const Status& status) noexcept {
  switch (status.code()) {
    case StatusCode::kOk:
      return ExitCode::kOk;
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
    case StatusCode::kOutOfPages:
    case StatusCode::kCorruptData:
    case StatusCode::kIoError:
      return ExitCode::kBadInput;
    case StatusCode::kWorkspaceTooSmall:
    case StatusCode::kDeviceError:
    case StatusCode::kInternal:
    case StatusCode::kOutOfMemory:
      return ExitCode::kInternalError;
  }
  return ExitCode::kInternalError;
}

void print_error(std::string_view message) {
  std::string line;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  write_remark("seesaw: error: " + line + "\n");
}

ExitCode fail(const Status& status) {
  print_error(status.message());
  return exit_code_of(status);
}

}  // namespace seesaw::cli
