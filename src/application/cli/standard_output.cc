#include "cli/standard_output.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace seesaw::cli {

Status write_output(std::string_view text) {
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (is_written && std::fflush(stdout) == 0) return Status::ok();
  return {StatusCode::kIoError, fmt::format("standard output: {}", std::strerror(errno))};
}

}  // namespace seesaw::cli
