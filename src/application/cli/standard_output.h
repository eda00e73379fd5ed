// Results on stdout, where a full disk or a closed pipe is an error and not a silence.
#pragma once

#include <string_view>

#include "seesaw/types/status.h"

namespace seesaw::cli {

/// Writes and flushes. Errors: kIoError.
Status write_output(std::string_view text);

}  // namespace seesaw::cli
