// A file's bytes, mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "seesaw/types/status.h"

namespace seesaw::model {

/// The mapping is private and read-only; pages come from the disk when first touched and can be
/// dropped by the system at any time. A file that is shortened while mapped ends the process with
/// SIGBUS at the next touch, as with every mapping.
class MappedFile {
 public:
  /// Errors: kIoError (missing, unreadable, no regular file).
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}
  void unmap() noexcept;

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace seesaw::model
