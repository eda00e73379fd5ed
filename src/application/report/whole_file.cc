#include "report/whole_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace seesaw::report {
namespace {

Status io_error(const std::filesystem::path& path, std::string_view what) {
  return {StatusCode::kIoError, fmt::format("{}: {}", path.string(), what)};
}

}  // namespace

Result<WholeFile> WholeFile::create(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code failure;
  fs::path target = path;
  const fs::file_status status = fs::status(path, failure);
  if (fs::exists(status)) {
    if (!fs::is_regular_file(status)) {
      return io_error(path, fs::is_directory(status) ? "is a folder, must be a file"
                                                     : "is no regular file, must be one");
    }
    target = fs::canonical(path, failure);
    if (failure) return io_error(path, failure.message());
  }
  if (target.filename().empty()) return io_error(path, "is no file name");
  constexpr int kMaxAttempts = 100;  // names that runs with the same process id left behind
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    fs::path partial = target;
    partial += fmt::format(".partial-{}-{}", ::getpid(), attempt);
    const int descriptor =
        ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);  // less the umask
    if (descriptor >= 0) return WholeFile(descriptor, std::move(target), std::move(partial));
    if (errno != EEXIST) break;
  }
  return io_error(path, fmt::format("cannot be written: {}", std::strerror(errno)));
}

WholeFile::WholeFile(WholeFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      target_(std::move(other.target_)),
      partial_(std::exchange(other.partial_, {})) {}

WholeFile::~WholeFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

Status WholeFile::error(const char* what) const {
  return io_error(target_, fmt::format("{}: {}", what, std::strerror(errno)));
}

Status WholeFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return error("cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return Status::ok();
}

Status WholeFile::commit() {
  // Data first, name second: after a crash the name never stands for an empty file.
  if (::fsync(descriptor_) != 0) return error("cannot be written");
  if (::close(std::exchange(descriptor_, -1)) != 0) return error("cannot be written");
  if (::rename(partial_.c_str(), target_.c_str()) != 0) return error("cannot be replaced");
  partial_.clear();
  return Status::ok();
}

}  // namespace seesaw::report
