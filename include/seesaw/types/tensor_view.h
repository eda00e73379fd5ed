// A strided view of somebody else's memory: the only way arrays enter and leave the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "seesaw/types/dtype.h"

namespace seesaw {

inline constexpr int kMaxRank = 5;

/// Data pointer, element type, shape and strides (both in elements). Owns nothing.
/// Void is `void` (TensorView: may be written) or `const void` (ConstTensorView).
template <typename Void>
struct BasicTensorView {
  Void* data = nullptr;
  DType dtype = DType::kFloat32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::int64_t, kMaxRank> stride{};

  BasicTensorView() = default;

  /// A row-major, gapless view of `dims`. More than kMaxRank dimensions are counted in `rank` but
  /// not kept: every function of the library refuses such a view.
  BasicTensorView(Void* pointer, DType type, std::initializer_list<std::int64_t> dims)
      : data(pointer), dtype(type), rank(static_cast<int>(dims.size())) {
    copy(dims, shape);
    std::uint64_t step = 1;  // wraps where the products do not fit; validation has the right words
    for (int i = num_kept() - 1; i >= 0; --i) {
      stride[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(step);
      step *= static_cast<std::uint64_t>(shape[static_cast<std::size_t>(i)]);
    }
  }

  /// As many strides as dimensions; else rank becomes -1, which every function refuses.
  BasicTensorView(Void* pointer, DType type, std::initializer_list<std::int64_t> dims,
                  std::initializer_list<std::int64_t> strides)
      : BasicTensorView(pointer, type, dims) {
    copy(strides, stride);
    if (strides.size() != dims.size()) rank = -1;
  }

  /// A writable view is a readable one.
  template <typename Other>
  requires(std::is_const_v<Void> && !std::is_const_v<Other>)
      BasicTensorView(const BasicTensorView<Other>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data),
        dtype(other.dtype),
        rank(other.rank),
        shape(other.shape),
        stride(other.stride) {}

  bool is_empty_argument() const noexcept { return rank == 0; }  // "not given"
  std::int64_t dim(int i) const noexcept { return shape[static_cast<std::size_t>(i)]; }
  std::int64_t step(int i) const noexcept { return stride[static_cast<std::size_t>(i)]; }
  /// The product of the dimensions, modulo 2^64.
  std::int64_t num_elements() const noexcept {
    std::uint64_t n = rank == 0 ? 0 : 1;
    for (int i = 0; i < num_kept(); ++i) n *= static_cast<std::uint64_t>(dim(i));
    return static_cast<std::int64_t>(n);
  }

 private:
  int num_kept() const noexcept { return rank < kMaxRank ? rank : kMaxRank; }
  static void copy(std::initializer_list<std::int64_t> from,
                   std::array<std::int64_t, kMaxRank>& to) {
    std::size_t i = 0;
    for (std::int64_t x : from) {
      if (i < to.size()) to[i++] = x;
    }
  }
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

}  // namespace seesaw
