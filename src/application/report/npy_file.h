// float32 matrices in NumPy's .npy format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "report/whole_file.h"
#include "seesaw/types/status.h"

namespace seesaw::report {

/// The header of format version 1.0 for a C-order little-endian float32 array [rows, cols].
/// Source: "NEP 1, A Simple File Format for NumPy Arrays".
std::string npy_header(std::int64_t rows, std::int64_t cols);

/// A matrix whose rows are written as they come; the file appears once all are there.
class NpyFile {
 public:
  /// Errors: those of WholeFile.
  static Result<NpyFile> create(const std::filesystem::path& path, std::int64_t rows,
                                std::int64_t cols);

  /// Whole rows, in order. Errors: kIoError.
  Status write_rows(std::span<const float> values);
  /// Errors: kIoError; kInternal where the values are not as many as the header says.
  Status commit();

 private:
  NpyFile(WholeFile file, std::int64_t num_values)
      : file_(std::move(file)), num_missing_(num_values) {}

  WholeFile file_;
  std::int64_t num_missing_;  // values to come
};

}  // namespace seesaw::report
