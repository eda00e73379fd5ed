// Results on stdout, where a full disk or a closed pipe is an error and not a silence; remarks on
// stderr, where nobody can be told.
#pragma once

#include <string_view>

#include "seesaw/types/status.h"

namespace seesaw::cli {

/// Writes to stdout and flushes. Errors: kIoError.
Status write_output(std::string_view text);

/// Writes to stderr; what cannot be written is lost.
void write_remark(std::string_view text) noexcept;

/// Where the program was started with stdin, stdout or stderr closed, puts something unreadable and
/// unwritable in their place, so that no file it opens is taken for one of them.
void reserve_standard_descriptors() noexcept;

}  // namespace seesaw::cli
