// How far a kernel's result may lie from the oracle's: bounds derived from the arithmetic, used as
// the tests' tolerances. docs/mla.md, "Error bounds", has the derivation, in the same symbols.
#pragma once

#include <cstdint>
#include <vector>

#include "algorithm/reference_attention.h"

namespace seesaw::algorithm {

/// Largest relative error of rounding a number of the type's normal range to nearest: 2^-24 for
/// float32, 2^-8 for bfloat16, 2^-11 for float16.
double unit_roundoff(DType dtype) noexcept;

/// The arithmetic of a kernel, as far as its error depends on it. m, l and o are float32 in the
/// manner of online_softmax.h; subnormals may be flushed.
struct KernelArithmetic {
  /// Unit roundoff of the type that weights P are rounded to for P V. 0: they stay float32.
  double weight_roundoff = 0;
  /// Absolute error of rounding a weight below that type's normal range.
  double weight_flushed = 0;
  /// The row sum l is of the weights as rounded for P V; false: as they were before.
  bool sums_rounded_weights = true;
  /// By how much m may lag behind the largest score, in log2 units: weights reach 2^max_lag.
  double max_lag = 0;

  /// Products that one operation of a dot product adds to its accumulator, and the error of that
  /// operation relative to the largest of accumulator, products and result. One product and one
  /// rounding to nearest: any order of FMA chains, or of vdpbf16ps pairs, in float32. More than
  /// one: a tensor core, whose errors are taken as one-sided, because it truncates.
  std::int64_t terms_per_step = 1;
  double step_error = 0x1p-24;

  double exp2_error = 0x1p-22;       // largest relative error of 2^x: 2 ulp
  double log2_error = 0x1p-22;       // error of log2 l is at most this times (1 + log2 l)
  double division_error = 0x1p-24;   // relative, of 1 / l
  std::int64_t keys_per_block = 64;  // m is raised at most once in so many keys
  std::int64_t num_splits = 1;       // partial states merged at the end
};

/// All weights float32; inputs of any type, widened exactly.
inline constexpr KernelArithmetic kFloat32Arithmetic{};
/// bfloat16 dot products accumulated in float32; P rounded to bfloat16.
inline constexpr KernelArithmetic kBFloat16DotArithmetic{.weight_roundoff = 0x1p-8};

/// Tensor cores of the named generation with P rounded to `dtype` (bfloat16 or float16),
/// approximate 2^x, log2 and 1 / l of the special-function units. docs/mla.md, "Tensor cores".
KernelArithmetic tensor_core_arithmetic(DType dtype, int sm_arch) noexcept;

enum class ErrorModel : std::uint8_t {
  kWorstCase,  // holds for every input
  /// Holds for each number with probability 1 - 2.6e-14 if the roundings inside dot products, and
  /// of P, are independent and of mean zero, and partial sums wander as random walks do: true
  /// enough of random inputs whose scores differ by more than 2^-8 or so, false of keys or values
  /// that repeat. Never above the worst case, and below it by about the square roots of d_qk and
  /// of the number of keys that matter.
  kProbabilistic,
};

/// Bounds of the absolute error. An infinite or NaN value is no matter of bounds: it must be equal.
struct ErrorBounds {
  std::vector<double> out;         // [num_rows, d_v]
  std::vector<double> lse;         // [num_rows]
  std::vector<double> max_logits;  // [num_rows]
};

/// Bounds for a kernel's out (of problem.out_dtype), lse and max_logits (float32) against
/// `reference`, the oracle's result for the same inputs.
ErrorBounds error_bounds(const ReferenceOutputs& reference, const AttentionProblem& problem,
                         const KernelArithmetic& arithmetic, ErrorModel model);

}  // namespace seesaw::algorithm
