// From argv to the command to run.
#pragma once

#include <variant>

#include "cli/exit_code.h"
#include "cli/options.h"

namespace seesaw::cli {

/// The command to run, or the exit code of a command line that leaves nothing to run: help and
/// version (printed to stdout), or bad usage (one line on stderr).
std::variant<CommandArgs, ExitCode> parse_command_line(int argc, const char* const* argv);

}  // namespace seesaw::cli
