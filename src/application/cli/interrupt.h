// Signals: Ctrl-C as a request to end in order.
#pragma once

#include "cli/exit_code.h"

namespace seesaw::cli {

/// From here on the first SIGINT or SIGTERM is only noted, for the command to end cleanly at the
/// next good moment; a second one ends the process at once. Reaching a limit of file sizes becomes
/// an error of the write that reaches it.
void catch_interrupts();

/// True once a signal was noted.
bool is_interrupted() noexcept;

/// The exit code of the signal that was noted; kOk where there was none.
ExitCode interrupt_exit_code() noexcept;

}  // namespace seesaw::cli
