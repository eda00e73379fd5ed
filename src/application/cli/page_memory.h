// Large arrays for measurements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "seesaw/types/dtype.h"

namespace seesaw::cli {

/// Zeroed memory straight from the system, on huge pages where it gives them, as servers hold
/// their caches: otherwise a measurement would show the cost of looking up addresses.
class PageMemory {
 public:
  PageMemory() = default;
  /// Throws std::bad_alloc.
  explicit PageMemory(std::int64_t num_bytes);
  PageMemory(PageMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PageMemory& operator=(PageMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PageMemory();

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Random values of zero mean and unit variance, the same for the same seed. They repeat with a
/// period of about two million.
PageMemory random_values(DType dtype, std::int64_t num_values, std::uint64_t seed);

}  // namespace seesaw::cli
