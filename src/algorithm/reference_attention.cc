#include "algorithm/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace seesaw::algorithm {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Element `offset` of a float view, exactly.
double read_float(const ConstTensorView& view, std::int64_t offset) {
  switch (view.dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(view.data)[offset];
    case DType::kBFloat16:
      return float(static_cast<const BFloat16*>(view.data)[offset]);
    case DType::kFloat16:
      return float(static_cast<const Float16*>(view.data)[offset]);
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

std::int32_t read_int32(const ConstTensorView& view, std::int64_t offset) {
  return static_cast<const std::int32_t*>(view.data)[offset];
}

/// `count` elements from `offset` on, widened.
std::vector<double> read_row(const ConstTensorView& view, std::int64_t offset, std::int64_t count) {
  std::vector<double> row(static_cast<std::size_t>(count));
  const std::int64_t step = view.step(view.rank - 1);
  for (std::int64_t i = 0; i < count; ++i)
    row[static_cast<std::size_t>(i)] = read_float(view, offset + i * step);
  return row;
}

/// Query token i of request r, whose place among all query tokens is token_idx.
struct QueryToken {
  std::int64_t request_idx = 0;
  std::int64_t query_idx = 0;
  std::int64_t num_queries = 0;  // of this request
  std::int64_t token_idx = 0;
};

/// Offset of the token's row in a view that is [b, s_q, ...] (decode) or [total_q, ...] (prefill).
std::int64_t token_offset(const ReferenceInputs& in, const ConstTensorView& view,
                          const QueryToken& token) {
  if (in.problem.phase == Phase::kPrefill) return token.token_idx * view.step(0);
  return token.request_idx * view.step(0) + token.query_idx * view.step(1);
}

/// Offsets in kv_cache of the keys that the token sees, for KV head 0, in order.
std::vector<std::int64_t> visible_keys(const ReferenceInputs& in, const QueryToken& token) {
  const std::int64_t page_size = in.problem.page_size;
  const auto key_offset = [&](std::int64_t page, std::int64_t slot) {
    return page * in.kv_cache.step(0) + slot * in.kv_cache.step(1);
  };
  std::vector<std::int64_t> keys;
  if (in.problem.sparsity == Sparsity::kTopK) {
    std::int64_t num_columns = in.problem.top_k;
    if (!in.top_k_lengths.is_empty_argument()) {
      const std::int64_t offset = token.request_idx * in.top_k_lengths.step(0);
      num_columns = std::min<std::int64_t>(num_columns, read_int32(in.top_k_lengths, offset));
    }
    const std::int64_t row = token_offset(in, in.indices, token);
    const std::int64_t step = in.indices.step(in.indices.rank - 1);
    for (std::int64_t column = 0; column < num_columns; ++column) {
      const std::int64_t index = read_int32(in.indices, row + column * step);
      if (index >= 0) keys.push_back(key_offset(index / page_size, index % page_size));
    }
    return keys;
  }
  std::int64_t num_keys = in.kv_lengths[static_cast<std::size_t>(token.request_idx)];
  if (in.problem.mask == Mask::kCausal) num_keys -= token.num_queries - 1 - token.query_idx;
  for (std::int64_t key = 0; key < num_keys; ++key) {
    const std::int64_t entry =
        token.request_idx * in.block_table.step(0) + key / page_size * in.block_table.step(1);
    keys.push_back(key_offset(read_int32(in.block_table, entry), key % page_size));
  }
  return keys;
}

using Keys = std::vector<std::vector<double>>;  // [num_keys][d_qk]; V is the first d_v dimensions

struct RowResult {
  std::vector<double> out;  // [d_v]
  double lse = kInfinity;
  double max_logit = -kInfinity;
  std::vector<double> logits;   // [num_keys]
  std::vector<double> weights;  // [num_keys], summing to 1
  double kept = 1;              // the share that the sink leaves
};

/// One query row against its keys: the whole of attention.
RowResult attend(const std::vector<double>& q, const Keys& keys, std::int64_t d_v, double scale,
                 double sink) {
  RowResult row;
  row.out.assign(static_cast<std::size_t>(d_v), 0.0);
  if (keys.empty()) return row;  // the defaults above: out = 0, lse = +inf, max_logit = -inf

  for (const auto& key : keys) {
    row.logits.push_back(scale * std::transform_reduce(q.begin(), q.end(), key.begin(), 0.0));
    row.max_logit = std::max(row.max_logit, row.logits.back());
  }

  double sum = 0;
  for (double logit : row.logits) {
    row.weights.push_back(std::exp(logit - row.max_logit));
    sum += row.weights.back();
  }
  for (double& weight : row.weights) weight /= sum;
  row.lse = row.max_logit + std::log(sum);
  row.kept = 1.0 / (1.0 + std::exp(sink - row.lse));  // exp(lse) / (exp(lse) + exp(sink))

  for (std::size_t j = 0; j < keys.size(); ++j) {
    const double factor = row.kept * row.weights[j];
    const std::span<const double> value(keys[j].data(), row.out.size());
    for (std::size_t d = 0; d < value.size(); ++d) row.out[d] += factor * value[d];
  }
  return row;
}

/// Longest chain of keys of which each is the next that scores higher than the one before.
std::int64_t count_rises(std::span<const double> logits) {
  std::vector<std::size_t> candidates;  // keys on the right, rising scores towards the front
  std::vector<std::int64_t> rises(logits.size(), 0);
  for (std::size_t j = logits.size(); j-- > 0;) {
    while (!candidates.empty() && !(logits[candidates.back()] > logits[j])) candidates.pop_back();
    if (!candidates.empty()) rises[j] = 1 + rises[candidates.back()];
    candidates.push_back(j);
  }
  return *std::max_element(rises.begin(), rises.end());
}

double max_abs(double a, double b) { return std::max(a, std::abs(b)); }

/// What error_bounds.h wants to know of a row; no part of the attention itself.
void measure_sensitivity(const std::vector<double>& q, const Keys& keys, double max_abs_key,
                         const RowResult& row, double scale, std::size_t row_idx,
                         ReferenceOutputs& outputs) {
  RowSensitivity& sensitivity = outputs.rows[row_idx];
  const std::size_t d_v = row.out.size();
  double* abs_sum = outputs.abs_sum.data() + row_idx * d_v;
  double* deviation = outputs.deviation.data() + row_idx * d_v;
  double* deviation_norm = outputs.deviation_norm.data() + row_idx * d_v;
  const auto raise = [](double& largest, double value) { largest = std::max(largest, value); };
  sensitivity.max_abs_input = std::accumulate(q.begin(), q.end(), max_abs_key, max_abs);
  for (std::size_t j = 0; j < keys.size(); ++j) {
    const double weight = row.weights[j];
    double sum = 0;
    double sum_of_squares = 0;
    for (std::size_t i = 0; i < q.size(); ++i) {
      const double product = q[i] * keys[j][i];
      sum += std::abs(product);
      sum_of_squares += product * product;
    }
    raise(sensitivity.max_abs_product_sum, std::abs(scale) * sum);
    raise(sensitivity.max_product_norm, std::abs(scale) * std::sqrt(sum_of_squares));
    raise(sensitivity.max_abs_logit, std::abs(row.logits[j]));
    raise(sensitivity.logit_range, row.max_logit - row.logits[j]);
    sensitivity.weight_norm += weight * weight;
    for (std::size_t d = 0; d < d_v; ++d) {
      const double value = row.kept * keys[j][d];
      const double difference = weight * (value - row.out[d]);
      abs_sum[d] += weight * std::abs(value);
      deviation[d] += std::abs(difference);
      deviation_norm[d] += difference * difference;
    }
  }
  if (keys.empty()) return;
  const std::vector<double> reversed(row.logits.rbegin(), row.logits.rend());
  sensitivity.max_rises = std::max(count_rises(row.logits), count_rises(reversed));
  sensitivity.num_keys = static_cast<std::int64_t>(keys.size());
  sensitivity.weight_norm = std::sqrt(sensitivity.weight_norm);
  sensitivity.sink_share = 1.0 - row.kept;
  for (std::size_t d = 0; d < d_v; ++d) deviation_norm[d] = std::sqrt(deviation_norm[d]);
}

/// All heads of one query token.
void attend_token(const ReferenceInputs& in, const QueryToken& token, ReferenceOutputs& outputs) {
  const AttentionProblem& problem = in.problem;
  const std::vector<std::int64_t> visible = visible_keys(in, token);
  for (std::int64_t kv_head = 0; kv_head < problem.h_kv; ++kv_head) {
    Keys keys;
    for (std::int64_t offset : visible)
      keys.push_back(read_row(in.kv_cache, offset + kv_head * in.kv_cache.step(2), problem.d_qk));
    double max_abs_key = 0;
    for (const auto& key : keys)
      max_abs_key = std::accumulate(key.begin(), key.end(), max_abs_key, max_abs);
    for (std::int64_t i = 0; i < problem.group_size(); ++i) {
      const std::int64_t head = kv_head * problem.group_size() + i;
      const std::int64_t head_offset = head * in.q.step(in.q.rank - 2);
      const auto q = read_row(in.q, token_offset(in, in.q, token) + head_offset, problem.d_qk);
      const double sink = problem.has_attn_sink
                              ? read_float(in.attn_sink, head * in.attn_sink.step(0))
                              : -kInfinity;
      const RowResult row = attend(q, keys, problem.d_v, problem.scale(), sink);

      const auto row_idx = static_cast<std::size_t>(token.token_idx * problem.h_q + head);
      std::copy(row.out.begin(), row.out.end(), outputs.out.data() + row_idx * row.out.size());
      outputs.lse[row_idx] = row.lse;
      outputs.max_logits[row_idx] = row.max_logit;
      outputs.rows[row_idx].sink = sink;
      measure_sensitivity(q, keys, max_abs_key, row, problem.scale(), row_idx, outputs);
    }
  }
}

}  // namespace

ReferenceOutputs reference_attention(const ReferenceInputs& inputs) {
  const AttentionProblem& problem = inputs.problem;
  std::vector<QueryToken> tokens;
  for (std::int64_t request = 0; request < problem.batch; ++request) {
    const std::int64_t num_queries = problem.phase == Phase::kPrefill
                                         ? inputs.q_lengths[static_cast<std::size_t>(request)]
                                         : problem.s_q;
    for (std::int64_t query = 0; query < num_queries; ++query)
      tokens.push_back({request, query, num_queries, static_cast<std::int64_t>(tokens.size())});
  }

  ReferenceOutputs outputs;
  outputs.num_rows = static_cast<std::int64_t>(tokens.size()) * problem.h_q;
  outputs.d_v = problem.d_v;
  const auto num_rows = static_cast<std::size_t>(outputs.num_rows);
  outputs.lse.resize(num_rows);
  outputs.max_logits.resize(num_rows);
  outputs.rows.resize(num_rows);
  for (auto* array : {&outputs.out, &outputs.abs_sum, &outputs.deviation, &outputs.deviation_norm})
    array->resize(num_rows * static_cast<std::size_t>(problem.d_v));
  for (const QueryToken& token : tokens) attend_token(inputs, token, outputs);
  return outputs;
}

}  // namespace seesaw::algorithm
