// Memory for one tensor of a test, with traps wherever the library must not look or write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "seesaw/types/tensor_view.h"

namespace seesaw::testing {

/// Owns a strided array. Every element, in the view and in its gaps, starts as poison: NaN of a
/// recognizable payload, or INT_MAX. The memory ends with the view's last element, so that an
/// address sanitizer sees a read behind it, and begins `lead` elements before the first, which is
/// thereby aligned to its own size and no more.
class StridedArray {
 public:
  StridedArray() = default;
  /// Strides in elements; the array must be at least as wide as the view reaches.
  StridedArray(DType dtype, std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
               std::int64_t lead = 0);
  /// Row-major without gaps.
  StridedArray(DType dtype, std::vector<std::int64_t> shape);

  TensorView view() const;  // rank 0 for a default-constructed array
  DType dtype() const { return dtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t num_elements() const;

  /// All bytes, gaps and the lead included; for copies to other memory.
  std::span<std::byte> memory() const {
    return {memory_.get(), static_cast<std::size_t>(size_) * size_bytes(dtype_)};
  }
  /// The same view of a copy of memory() that begins at `copy`.
  TensorView view_of_copy(std::byte* copy) const;

  /// Offset, in elements from the view's first, of a place.
  std::int64_t offset(const std::vector<std::int64_t>& place) const;
  /// Element at an offset, widened; writing rounds to nearest, ties to even.
  double read(std::int64_t offset) const;
  void write(std::int64_t offset, double value);
  /// `values` at offset, offset + 1, ...: the last dimension has no gaps.
  void write_row(std::int64_t offset, std::span<const double> values);

  /// All elements in row-major order of the view, widened.
  std::vector<double> values() const;

  void poison();
  /// False if an element outside of the view has been written.
  bool gaps_are_untouched() const;

 private:
  std::byte* element(std::int64_t offset) const;
  std::vector<std::int64_t> all_offsets() const;

  DType dtype_ = DType::kFloat32;
  std::vector<std::int64_t> shape_;
  std::vector<std::int64_t> strides_;
  std::int64_t lead_ = 0;
  std::int64_t size_ = 0;  // elements, lead included
  std::unique_ptr<std::byte[]> memory_;
};

}  // namespace seesaw::testing
