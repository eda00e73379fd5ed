// What one array argument must look like, as data, and the check of it. Every array that enters
// the library through decode or prefill passes here once; kernels trust what passed.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw {

inline constexpr std::int64_t kAnySize = -1;

/// One dimension: its name as the contract writes it, and its size or kAnySize (>= 0).
struct DimRule {
  const char* term = nullptr;
  std::int64_t size = kAnySize;
};

enum class LastStride : std::uint8_t { kUnit, kAny };
enum class Access : std::uint8_t { kRead, kWrite };

/// Strides count elements and may be negative or zero, but for two rules: the last one is 1 unless
/// its dimension has fewer than two elements (kUnit), and no two elements of an output share
/// memory, because several threads write it.
struct ViewRule {
  const char* name = nullptr;
  DType dtype = DType::kFloat32;
  const char* dtype_term = nullptr;  // the field that fixes dtype; nullptr: the contract itself
  int rank = 0;
  std::array<DimRule, kMaxRank> dims{};
  LastStride last_stride = LastStride::kUnit;
  Access access = Access::kRead;
};

/// Checks that the view is given and that type, shape, strides, pointer and alignment fit the rule,
/// and that every offset, in bytes, fits an int64. Allocates only to word a failure.
Status check_view(const ConstTensorView& view, const ViewRule& rule);

/// The same where the view may be absent (rank 0).
inline Status check_optional_view(const ConstTensorView& view, const ViewRule& rule) {
  return view.is_empty_argument() ? Status::ok() : check_view(view, rule);
}

/// The stride of a dimension; 0 where it is never taken, for then it may be any number.
template <typename Void>
std::int64_t taken_step(const BasicTensorView<Void>& view, int dim) {
  return view.dim(dim) <= 1 ? 0 : view.step(dim);
}

/// The view's memory; nullptr of a view that is not given, whatever its pointer says.
template <typename T, typename Void>
T* given_data(const BasicTensorView<Void>& view) {
  return view.is_empty_argument() ? nullptr : static_cast<T*>(view.data);
}

/// Fails if the view is given; `reason` completes "must not be given ...".
Status check_absent(const ConstTensorView& view, const char* name, const char* reason);

}  // namespace seesaw
