// What the baselines do between and around their matrix products, in float32, one row at a time:
// softmax with a running maximum, scaling, widening, rounding. One source, compiled for several
// instruction sets; the best one the CPU has is taken at run time.
#pragma once

#include <cstdint>

namespace seesaw::bench {

/// Softmax of one block of scores, row after row.
struct SoftmaxBlock {
  const float* scores = nullptr;  // [num_rows, num_keys], unscaled
  std::int64_t num_rows = 0;
  std::int64_t num_keys = 0;
  float scale_log2 = 0;  // softmax scale times log2(e)
  /// Row r sees the block's first clamp(first_visible + floor((first_row + r) / heads), 0,
  /// num_keys) keys: the causal limit, with rows numbered query * heads + head.
  std::int64_t first_visible = 0;
  std::int64_t first_row = 0;
  std::int64_t heads = 1;
  bool is_masked = false;       // false: every row sees every key
  float* row_max = nullptr;     // [num_rows] in base 2, updated
  float* row_sum = nullptr;     // [num_rows], updated
  float* correction = nullptr;  // [num_rows] out: what earlier sums must be multiplied by
  void* weights = nullptr;      // [num_rows, num_keys] out, not normalized
};

/// The functions of one instruction set.
struct RowKernels {
  const char* name;
  void (*softmax_to_bfloat16)(const SoftmaxBlock& block);
  void (*softmax_to_float32)(const SoftmaxBlock& block);
  /// values[i, :] *= factors[i]; rows whose factor is 1 are not touched.
  void (*scale_rows)(float* values, std::int64_t num_rows, std::int64_t num_columns,
                     const float* factors);
  /// sums += values * factor.
  void (*add_scaled)(float* sums, const float* values, std::int64_t num_values, float factor);
  void (*widen_bfloat16)(const std::uint16_t* from, float* to, std::int64_t num_values);
  /// to = from * factor, rounded to nearest even.
  void (*round_to_bfloat16)(const float* from, float factor, std::uint16_t* to,
                            std::int64_t num_values);
};

/// The best the running CPU can execute.
const RowKernels& row_kernels();

}  // namespace seesaw::bench
