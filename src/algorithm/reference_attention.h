// The oracle: attention over a paged latent cache in float64, one query row at a time, by the
// formula. Everything that computes attention is tested against it; nothing else calls it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "seesaw/types/attention_problem.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw::algorithm {

/// One attention call. Shapes and meanings are those of DecodeArgs and PrefillArgs; the values are
/// trusted. Any of float32, bfloat16, float16 in q and kv_cache, any strides anywhere.
struct ReferenceInputs {
  AttentionProblem problem = {};
  std::span<const std::int32_t> kv_lengths = {};  // [b]; dense
  std::span<const std::int32_t> q_lengths = {};   // [b]; prefill
  ConstTensorView q = {};            // decode [b, s_q, h_q, d_qk]; prefill [total_q, h_q, d_qk]
  ConstTensorView kv_cache = {};     // [num_pages, page_size, h_kv, d_qk]
  ConstTensorView block_table = {};  // int32 [b, max_pages]; dense
  ConstTensorView indices = {};  // int32 decode [b, s_q, top_k], prefill [total_q, top_k]; top-k
  ConstTensorView top_k_lengths = {};  // int32 [b] or not given; top-k
  ConstTensorView attn_sink = {};      // float32 [h_q], iff problem.has_attn_sink
};

/// What rounding in a kernel can do to one row: the data-dependent factors of error_bounds.h.
/// Sums run over the keys j that the row sees; p_j are the exact softmax weights.
struct RowSensitivity {
  std::int64_t num_keys = 0;
  double max_abs_product_sum = 0;  // max_j |scale| * sum_i |q_i k_ji|
  double max_product_norm = 0;     // max_j |scale| * sqrt(sum_i (q_i k_ji)^2)
  double max_abs_logit = 0;        // max_j |scale * sum_i q_i k_ji|
  double max_abs_input = 0;        // max over all q_i and k_ji of the absolute value
  double logit_range = 0;          // max_j - min_j of the scaled scores, natural units
  /// How often a running maximum of the scores can rise after its first key, in either order and
  /// from whatever key on.
  std::int64_t max_rises = 0;
  double weight_norm = 0;  // sqrt(sum_j p_j^2)
  double sink = 0;         // the row's attention sink, natural log; -inf without one
  double sink_share = 0;   // exp(sink) / (exp(lse) + exp(sink)): what the sink takes
};

/// Row r = token * h_q + head; tokens in q's order (decode: request * s_q + query).
/// All of `out`, `abs_sum`, `deviation` and `deviation_norm` are [num_rows, d_v] and carry the
/// sink's factor f = 1 - sink_share.
struct ReferenceOutputs {
  std::int64_t num_rows = 0;
  std::int64_t d_v = 0;
  std::vector<double> out;         // f * sum_j p_j v_j; 0 for a row that sees nothing
  std::vector<double> lse;         // [num_rows], natural log, without the sink; +inf: saw nothing
  std::vector<double> max_logits;  // [num_rows], natural units; -inf: saw nothing
  std::vector<RowSensitivity> rows;
  std::vector<double> abs_sum;         // f * sum_j p_j |v_j|
  std::vector<double> deviation;       // f * sum_j p_j |v_j - o|, where o = sum_j p_j v_j
  std::vector<double> deviation_norm;  // f * sqrt(sum_j p_j^2 (v_j - o)^2)
};

/// softmax(scale * Q K^T) V with the definitions of attention.h (mask, top-k, sink, empty rows).
/// Each row takes two passes over its keys: scores and their maximum, then weights and the
/// weighted sum. Relative accuracy about 1e-13; time is 4 b s_q h_q s_k d_qk float64 operations.
ReferenceOutputs reference_attention(const ReferenceInputs& inputs);

}  // namespace seesaw::algorithm
