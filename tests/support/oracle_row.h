// The float64 oracle of dense decode in functions of one key, one row and one column, so that a
// device can compute whole batches (support/device_oracle.h). Host and device run the same
// functions; on the host they are tested against algorithm::reference_attention.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "algorithm/reference_attention.h"
#include "seesaw/attention.h"
#include "seesaw/types/dtype.h"

#if defined(__CUDACC__)
#define SEESAW_ON_BOTH __host__ __device__
#else
#define SEESAW_ON_BOTH
#endif

namespace seesaw::testing {

/// Memory of the side that computes; strides in elements.
struct OracleArray {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t strides[4] = {};
};

/// A dense decode as DecodeArgs has it.
struct OracleCall {
  OracleArray q;                             // [b, s_q, h_q, d_qk]
  OracleArray kv_cache;                      // [num_pages, page_size, h_kv, d_qk]
  OracleArray block_table;                   // int32 [b, max_pages]
  OracleArray attn_sink;                     // float32 [h_q]; data is null: there is none
  const std::int32_t* kv_lengths = nullptr;  // [b]
  std::int64_t s_q = 1;
  std::int64_t h_q = 1;
  std::int64_t heads_per_kv = 1;
  std::int64_t d_qk = 0;
  std::int64_t d_v = 0;
  std::int64_t page_size = 1;
  bool is_causal = false;
  double scale = 1;
};

/// Rows are numbered as the oracle's: (request * s_q + query) * h_q + head.
struct OracleRow {
  std::int64_t request_idx = 0;
  std::int64_t query_idx = 0;
  std::int64_t head_idx = 0;
};

/// What a row has of one of its keys.
struct OracleKey {
  std::int64_t offset = 0;  // of its first element in kv_cache
  double score = 0;         // sum_i q_i k_i
  double abs_sum = 0;       // sum_i |q_i k_i|
  double square_sum = 0;    // sum_i (q_i k_i)^2
  double max_abs = 0;       // max_i |q_i|, |k_i|
  double logit = 0;         // scale * score
  double weight = 0;        // of all keys sums to 1
};

/// What a row has of all its keys but the output.
struct OracleRowResult {
  algorithm::RowSensitivity sensitivity;
  double lse = INFINITY;
  double max_logit = -INFINITY;
  double kept = 1;  // the share that the sink leaves
};

/// One element of each of the oracle's arrays [num_rows, d_v].
struct OracleColumn {
  double out = 0;
  double abs_sum = 0;
  double deviation = 0;
  double deviation_norm = 0;
};

SEESAW_ON_BOTH inline double read_float(const OracleArray& array, std::int64_t offset) {
  switch (array.dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(array.data)[offset];
    case DType::kBFloat16:
      return static_cast<float>(static_cast<const BFloat16*>(array.data)[offset]);
    case DType::kFloat16:
      return static_cast<float>(static_cast<const Float16*>(array.data)[offset]);
    default:
      return NAN;
  }
}

SEESAW_ON_BOTH inline OracleRow row_at(const OracleCall& call, std::int64_t row_idx) {
  const std::int64_t token_idx = row_idx / call.h_q;
  return {token_idx / call.s_q, token_idx % call.s_q, row_idx % call.h_q};
}

SEESAW_ON_BOTH inline std::int64_t visible_keys(const OracleCall& call, const OracleRow& row) {
  const std::int64_t hidden = call.is_causal ? call.s_q - 1 - row.query_idx : 0;
  const std::int64_t num_keys = call.kv_lengths[row.request_idx] - hidden;
  return num_keys > 0 ? num_keys : 0;
}

SEESAW_ON_BOTH inline std::int64_t query_offset(const OracleCall& call, const OracleRow& row) {
  return row.request_idx * call.q.strides[0] + row.query_idx * call.q.strides[1] +
         row.head_idx * call.q.strides[2];
}

SEESAW_ON_BOTH inline std::int64_t key_offset(const OracleCall& call, const OracleRow& row,
                                              std::int64_t key_idx) {
  const std::int64_t entry = row.request_idx * call.block_table.strides[0] +
                             key_idx / call.page_size * call.block_table.strides[1];
  const std::int64_t page = static_cast<const std::int32_t*>(call.block_table.data)[entry];
  return page * call.kv_cache.strides[0] + key_idx % call.page_size * call.kv_cache.strides[1] +
         row.head_idx / call.heads_per_kv * call.kv_cache.strides[2];
}

/// The sums over dimensions lane, lane + num_lanes, ...
SEESAW_ON_BOTH inline OracleKey score_key(const OracleCall& call, const OracleRow& row,
                                          std::int64_t key_idx, int lane, int num_lanes) {
  OracleKey key;
  key.offset = key_offset(call, row, key_idx);
  const std::int64_t q_begin = query_offset(call, row);
  for (std::int64_t d = lane; d < call.d_qk; d += num_lanes) {
    const double q = read_float(call.q, q_begin + d * call.q.strides[3]);
    const double k = read_float(call.kv_cache, key.offset + d * call.kv_cache.strides[3]);
    key.score += q * k;
    key.abs_sum += std::fabs(q * k);
    key.square_sum += q * k * q * k;
    key.max_abs = std::fmax(key.max_abs, std::fmax(std::fabs(q), std::fabs(k)));
  }
  return key;
}

/// Adds another lane's sums.
SEESAW_ON_BOTH inline void add_lane(OracleKey& key, const OracleKey& lane) {
  key.score += lane.score;
  key.abs_sum += lane.abs_sum;
  key.square_sum += lane.square_sum;
  key.max_abs = std::fmax(key.max_abs, lane.max_abs);
}

/// How often a running maximum of logits can rise after its first key, whatever that key is: the
/// longest chain of keys of which each is the next that scores higher than the one before. From the
/// last key to the first (is_reversed: from the first to the last), `chain` [num_keys] holds the
/// chain that begins at the key looked at, its last member first.
SEESAW_ON_BOTH inline std::int64_t count_rises(const OracleKey* keys, std::int64_t num_keys,
                                               bool is_reversed, double* chain) {
  std::int64_t length = 0;
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < num_keys; ++i) {
    const double logit = keys[is_reversed ? i : num_keys - 1 - i].logit;
    while (length > 0 && !(chain[length - 1] > logit)) --length;
    chain[length++] = logit;
    longest = length > longest ? length : longest;
  }
  return longest - 1;
}

/// Softmax over the keys that were scored: fills in logits and weights. chain: [num_keys].
SEESAW_ON_BOTH inline OracleRowResult weigh_keys(const OracleCall& call, const OracleRow& row,
                                                 OracleKey* keys, std::int64_t num_keys,
                                                 double* chain) {
  OracleRowResult result;
  algorithm::RowSensitivity& sensitivity = result.sensitivity;
  sensitivity.sink = call.attn_sink.data == nullptr
                         ? -INFINITY
                         : read_float(call.attn_sink, row.head_idx * call.attn_sink.strides[0]);
  if (num_keys == 0) return result;

  double min_logit = INFINITY;
  for (std::int64_t j = 0; j < num_keys; ++j) {
    keys[j].logit = call.scale * keys[j].score;
    result.max_logit = std::fmax(result.max_logit, keys[j].logit);
    min_logit = std::fmin(min_logit, keys[j].logit);
  }
  double sum = 0;
  for (std::int64_t j = 0; j < num_keys; ++j) {
    keys[j].weight = std::exp(keys[j].logit - result.max_logit);
    sum += keys[j].weight;
  }
  result.lse = result.max_logit + std::log(sum);
  result.kept = 1.0 / (1.0 + std::exp(sensitivity.sink - result.lse));

  double square_sum = 0;
  const double scale = std::fabs(call.scale);
  for (std::int64_t j = 0; j < num_keys; ++j) {
    const OracleKey& key = keys[j];
    keys[j].weight /= sum;
    square_sum += key.weight * key.weight;
    sensitivity.max_abs_product_sum =
        std::fmax(sensitivity.max_abs_product_sum, scale * key.abs_sum);
    sensitivity.max_product_norm =
        std::fmax(sensitivity.max_product_norm, scale * std::sqrt(key.square_sum));
    sensitivity.max_abs_logit = std::fmax(sensitivity.max_abs_logit, std::fabs(key.logit));
    sensitivity.max_abs_input = std::fmax(sensitivity.max_abs_input, key.max_abs);
  }
  sensitivity.num_keys = num_keys;
  sensitivity.logit_range = result.max_logit - min_logit;
  sensitivity.weight_norm = std::sqrt(square_sum);
  sensitivity.sink_share = 1.0 - result.kept;
  const std::int64_t rises = count_rises(keys, num_keys, false, chain);
  const std::int64_t falls = count_rises(keys, num_keys, true, chain);
  sensitivity.max_rises = rises > falls ? rises : falls;
  return result;
}

/// Column d of the row's output, and what error bounds need of it.
SEESAW_ON_BOTH inline OracleColumn attend_column(const OracleCall& call, const OracleKey* keys,
                                                 std::int64_t num_keys, double kept,
                                                 std::int64_t d) {
  OracleColumn column;
  const std::int64_t v_begin = d * call.kv_cache.strides[3];
  for (std::int64_t j = 0; j < num_keys; ++j) {
    const double v = kept * read_float(call.kv_cache, keys[j].offset + v_begin);
    column.out += keys[j].weight * v;
    column.abs_sum += keys[j].weight * std::fabs(v);
  }
  double square_sum = 0;
  for (std::int64_t j = 0; j < num_keys; ++j) {
    const double v = kept * read_float(call.kv_cache, keys[j].offset + v_begin);
    const double difference = keys[j].weight * (v - column.out);
    column.deviation += std::fabs(difference);
    square_sum += difference * difference;
  }
  column.deviation_norm = std::sqrt(square_sum);
  return column;
}

/// The call whose arrays (but outputs) are those of `args`; kv_lengths lies where they do.
OracleCall oracle_call(const AttentionProblem& problem, const DecodeArgs& args,
                       const std::int32_t* kv_lengths);

/// All zero, of this size.
algorithm::ReferenceOutputs empty_outputs(std::int64_t num_rows, std::int64_t d_v);

/// Brings rows from first_row on to their places in `outputs`. columns: [results.size(), d_v].
void store_rows(std::span<const OracleRowResult> results, std::span<const OracleColumn> columns,
                std::int64_t first_row, algorithm::ReferenceOutputs& outputs);

}  // namespace seesaw::testing
