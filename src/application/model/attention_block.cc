#include "model/attention_block.h"

#include <algorithm>

#include "model/row_ops.h"
#include "seesaw/types/kv_format.h"

namespace seesaw::model {
namespace {

// The two norms inside attention keep the constant of DeepSeek's code whatever rms_norm_eps says.
constexpr double kInnerNormEps = 1e-6;

/// Columns [begin, begin + count) of a matrix.
MutableMatrixView columns(MutableMatrixView m, std::int64_t begin, std::int64_t count) {
  return {m.data + begin, m.rows, count, m.stride};
}

MatrixView columns(MatrixView m, std::int64_t begin, std::int64_t count) {
  return {m.data + begin, m.rows, count, m.stride};
}

}  // namespace

void AttentionBlock::prepare(const Step& step) {
  angles_.resize(step.positions.size());
  for (std::size_t token = 0; token < angles_.size(); ++token) {
    rope_.compute(step.positions[token], angles_[token]);
  }
}

MutableMatrixView AttentionBlock::project_query(const AttentionWeights& weights, MatrixView x) {
  const auto q = query_.resize(x.rows, config_.num_heads * config_.qk_head_dim());
  if (config_.q_lora_rank == 0) {
    multiply_transposed(x, weights.q.view(), q);
  } else {
    const auto low_rank = query_low_rank_.resize(x.rows, config_.q_lora_rank);
    multiply_transposed(x, weights.q_a.view(), low_rank);
    if (!weights.q_a_bias.is_empty()) add_bias(weights.q_a_bias.data(), low_rank);
    rms_norm(low_rank, weights.q_a_norm.data(), kInnerNormEps, low_rank);
    multiply_transposed(low_rank, weights.q_b.view(), q);
  }
  for (std::int64_t token = 0; token < x.rows; ++token) {
    for (std::int64_t head = 0; head < config_.num_heads; ++head) {
      float* of_head = q.data + token * q.stride + head * config_.qk_head_dim();
      rope_.rotate(angles_[static_cast<std::size_t>(token)], of_head + config_.qk_nope_head_dim);
    }
  }
  return q;
}

MutableMatrixView AttentionBlock::project_latent(const AttentionWeights& weights, MatrixView x) {
  const auto kv = kv_.resize(x.rows, config_.d_qk());
  multiply_transposed(x, weights.kv_a.view(), kv);
  if (!weights.kv_a_bias.is_empty()) add_bias(weights.kv_a_bias.data(), kv);
  const auto latent = columns(kv, 0, config_.kv_lora_rank);
  rms_norm(latent, weights.kv_a_norm.data(), kInnerNormEps, latent);
  for (std::int64_t token = 0; token < x.rows; ++token) {
    rope_.rotate(angles_[static_cast<std::size_t>(token)],
                 kv.data + token * kv.stride + config_.kv_lora_rank);
  }
  return kv;
}

MutableMatrixView AttentionBlock::absorb_query(const AttentionWeights& weights, MatrixView q) {
  const std::int64_t d_qk = config_.d_qk();
  const std::int64_t nope = config_.qk_nope_head_dim;
  const auto absorbed = absorbed_query_.resize(q.rows, config_.num_heads * d_qk);
  for (std::int64_t head = 0; head < config_.num_heads; ++head) {
    const auto from = columns(q, head * config_.qk_head_dim(), config_.qk_head_dim());
    const auto to = columns(absorbed, head * d_qk, d_qk);
    const auto w_uk = weights.kv_b.rows(head * (nope + config_.v_head_dim), nope);
    multiply(columns(from, 0, nope), w_uk, columns(to, 0, config_.kv_lora_rank));
    for (std::int64_t token = 0; token < q.rows; ++token) {
      std::copy_n(from.data + token * from.stride + nope, config_.qk_rope_head_dim,
                  to.data + token * to.stride + config_.kv_lora_rank);
    }
  }
  return absorbed;
}

MutableMatrixView AttentionBlock::expand_values(const AttentionWeights& weights,
                                                MatrixView latent_out) {
  const std::int64_t nope = config_.qk_nope_head_dim;
  const std::int64_t v = config_.v_head_dim;
  const auto values = values_.resize(latent_out.rows, config_.num_heads * v);
  for (std::int64_t head = 0; head < config_.num_heads; ++head) {
    const auto w_uv = weights.kv_b.rows(head * (nope + v) + nope, v);
    multiply_transposed(columns(latent_out, head * config_.kv_lora_rank, config_.kv_lora_rank),
                        w_uv, columns(values, head * v, v));
  }
  return values;
}

Status AttentionBlock::run(const Step& step, const AttentionWeights& weights, MatrixView x,
                           const TensorView& layer_cache, PagedAttention& attention,
                           MutableMatrixView out) {
  const auto q = project_query(weights, x);
  const auto kv = project_latent(weights, x);
  const KvFormat format = *plain_format(layer_cache.dtype);
  if (Status status = attention.append(step, kv, layer_cache, format); !status) return status;
  const auto absorbed = absorb_query(weights, q);
  const auto latent_out = latent_out_.resize(x.rows, config_.num_heads * config_.kv_lora_rank);
  if (Status status = attention.run(step, absorbed, layer_cache, latent_out); !status) {
    return status;
  }
  multiply_transposed(expand_values(weights, latent_out), weights.o.view(), out);
  if (!weights.o_bias.is_empty()) add_bias(weights.o_bias.data(), out);
  return Status::ok();
}

}  // namespace seesaw::model
