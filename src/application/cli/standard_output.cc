#include "cli/standard_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace seesaw::cli {

Status write_output(std::string_view text) {
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (is_written && std::fflush(stdout) == 0) return Status::ok();
  return {StatusCode::kIoError, fmt::format("standard output: {}", std::strerror(errno))};
}

void write_remark(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void reserve_standard_descriptors() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1) continue;
    // Opened in rising order, so that it gets the free number. A folder: neither read nor written.
    static_cast<void>(::open("/", O_RDONLY | O_DIRECTORY));
  }
}

}  // namespace seesaw::cli
