#include "report/npy_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <utility>

namespace seesaw::report {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

std::string npy_header(std::int64_t rows, std::int64_t cols) {
  constexpr std::size_t kPreamble = 10;  // magic, version, length
  constexpr std::size_t kAlignment = 64;
  std::string dict =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  const std::size_t unpadded = kPreamble + dict.size() + 1;
  dict.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dict += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dict.size() & 0xFF);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

Result<NpyFile> NpyFile::create(const std::filesystem::path& path, std::int64_t rows,
                                std::int64_t cols) {
  auto file = WholeFile::create(path);
  if (!file) return file.status();
  const std::string header = npy_header(rows, cols);
  if (Status status = file.value().write(std::as_bytes(std::span(header))); !status) return status;
  return NpyFile(std::move(file).value(), rows * cols);
}

Status NpyFile::write_rows(std::span<const float> values) {
  num_missing_ -= static_cast<std::int64_t>(values.size());
  return file_.write(std::as_bytes(values));
}

Status NpyFile::commit() {
  if (num_missing_ != 0) {
    return {StatusCode::kInternal,
            fmt::format("npy file: {} values are missing, must be 0", num_missing_)};
  }
  return file_.commit();
}

}  // namespace seesaw::report
