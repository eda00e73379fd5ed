#include "model/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace seesaw::model {
namespace {

Status io_error(const std::filesystem::path& path, std::string_view what, int error_number) {
  return {StatusCode::kIoError,
          fmt::format("{}: {}: {}", path.string(), what, std::strerror(error_number))};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return io_error(path, "cannot be opened", errno);
  struct stat facts {};
  if (::fstat(descriptor, &facts) != 0) {
    const int error_number = errno;
    ::close(descriptor);
    return io_error(path, "cannot be examined", error_number);
  }
  if (!S_ISREG(facts.st_mode)) {
    ::close(descriptor);
    return Status(StatusCode::kIoError, fmt::format("{}: is not a regular file", path.string()));
  }
  const auto size = static_cast<std::size_t>(facts.st_size);
  if (size == 0) {  // mmap refuses a length of 0
    ::close(descriptor);
    return MappedFile(nullptr, 0);
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int error_number = errno;
  ::close(descriptor);
  if (data == MAP_FAILED) return io_error(path, "cannot be mapped", error_number);
  return MappedFile(static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace seesaw::model
