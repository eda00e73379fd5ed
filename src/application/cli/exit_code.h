// How a run ends: its exit code, and the one line that says why it failed.
#pragma once

#include <string_view>

#include "seesaw/types/status.h"

namespace seesaw::cli {

enum class ExitCode : int {
  kOk = 0,
  kInternalError = 1,  // a bug, or a device or memory that failed
  kBadInput = 2,       // usage, files and values that the user can put right
  kInterrupted = 130,  // 128 + SIGINT (Ctrl-C), as shells count
  kTerminated = 143,   // 128 + SIGTERM
};

/// What the user can put right is kBadInput; the rest is kInternalError.
ExitCode exit_code_of(const Status& status) noexcept;

/// Prints "seesaw: error: MESSAGE" on stderr, as one line whatever the message holds.
void print_error(std::string_view message);

/// Prints the status's message and gives its exit code.
ExitCode fail(const Status& status);

}  // namespace seesaw::cli
