// Compile-time loops for kernels whose accumulators must live in registers.
//
// Everything in this folder's headers stands in an unnamed namespace, on purpose: each header is
// compiled into several files with different instruction-set flags. A function with linkage, even
// an inline one of the standard library, could be emitted by the AVX-512 file and then chosen by
// the linker for everybody, and crash on a processor without AVX-512. tests/hardware/cpu reads the
// object files and fails on any weak symbol in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#define SEESAW_INLINE __attribute__((always_inline)) inline
#define SEESAW_INLINE_LAMBDA __attribute__((always_inline))
// GCC 12 inlines a kernel into its caller and then runs out of registers: keep them apart.
#define SEESAW_NO_INLINE __attribute__((noinline))

namespace seesaw::cpu {
namespace {

/// A number known to the compiler where it is used (std::integral_constant would have linkage).
template <int kValue>
struct Constant {
  // NOLINTNEXTLINE(google-explicit-constructor)
  SEESAW_INLINE constexpr operator int() const { return kValue; }
};

/// Calls f(0), f(1), ... f(kCount - 1) with constants, so that f may index arrays of registers.
template <int kCount, typename F>
SEESAW_INLINE void unroll(F&& f) {
  [&]<int... kIdx>(std::integer_sequence<int, kIdx...>) SEESAW_INLINE_LAMBDA {
    (f(Constant<kIdx>{}), ...);
  }
  (std::make_integer_sequence<int, kCount>{});
}

/// Calls f(n) with n as a constant, for 1 <= n <= kMost.
template <int kMost, typename F>
SEESAW_INLINE void with_constant(int n, F&& f) {
  if constexpr (kMost > 1) {
    if (n < kMost) return with_constant<kMost - 1>(n, f);
  }
  f(Constant<kMost>{});
}

template <typename T>
SEESAW_INLINE T smaller(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
SEESAW_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
SEESAW_INLINE T round_up(T x, T multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

}  // namespace
}  // namespace seesaw::cpu
