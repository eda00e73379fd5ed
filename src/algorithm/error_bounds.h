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

/// The arithmetic of a kernel, as far as its error depends on it. Products and sums are float32
/// with at most one rounding a term, in any order (FMA chains and vdpbf16ps pairs alike; subnormals
/// may be flushed); m, l and o are float32 in the manner of online_softmax.h.
struct KernelArithmetic {
  /// Unit roundoff of the type that weights P are rounded to for P V; the row sum l is then of the
  /// rounded weights. 0: they stay float32.
  double weight_roundoff = 0;
  double exp2_error = 0x1p-22;       // largest relative error of 2^x: 2 ulp
  double log2_error = 0x1p-22;       // error of log2 l is at most this times (1 + log2 l)
  std::int64_t keys_per_block = 64;  // m is raised at most once in so many keys
  std::int64_t num_splits = 1;       // partial states merged at the end
};

/// All weights float32; inputs of any type, widened exactly.
inline constexpr KernelArithmetic kFloat32Arithmetic{};
/// bfloat16 dot products accumulated in float32; P rounded to bfloat16.
inline constexpr KernelArithmetic kBFloat16DotArithmetic{.weight_roundoff = 0x1p-8};

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
