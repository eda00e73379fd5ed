// A file that appears complete or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "seesaw/types/status.h"

namespace seesaw::report {

/// Writes under another name in the same folder; commit() renames it, which replaces a file that
/// stood there in one step. Without commit() what was written is removed and what stood there
/// stays.
class WholeFile {
 public:
  /// A symbolic link is followed. Errors: kIoError (no such folder, no permission, the path is
  /// something else than a file), naming the path.
  static Result<WholeFile> create(const std::filesystem::path& path);

  WholeFile(WholeFile&& other) noexcept;
  WholeFile& operator=(WholeFile&&) = delete;
  ~WholeFile();

  /// Appends. Errors: kIoError, for example a full disk.
  Status write(std::span<const std::byte> bytes);
  /// Errors: kIoError; the file is then removed as if commit() had not been called.
  Status commit();

 private:
  WholeFile(int descriptor, std::filesystem::path target, std::filesystem::path partial)
      : descriptor_(descriptor), target_(std::move(target)), partial_(std::move(partial)) {}
  Status error(const char* what) const;

  int descriptor_ = -1;
  std::filesystem::path target_;
  std::filesystem::path partial_;  // empty once nothing is left to remove
};

}  // namespace seesaw::report
