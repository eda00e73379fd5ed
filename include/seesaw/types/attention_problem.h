// WHAT is asked: the shape and the rules of one attention call, without a pointer or a length.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "seesaw/types/dtype.h"
#include "seesaw/types/kv_format.h"

namespace seesaw {

enum class Phase : std::uint8_t {
  kDecode,   // every request brings the same s_q query tokens
  kPrefill,  // requests bring different numbers of query tokens, packed one after the other
};

enum class Mask : std::uint8_t {
  kNone,    // every query sees every key of its request
  kCausal,  // query i of s_q sees keys 0 .. s_k - s_q + i (aligned to the last key)
};

enum class Sparsity : std::uint8_t {
  kDense,  // a query sees its request's keys through the block table
  kTopK,   // each query token names the keys it sees by index; causal must be kNone
};

/// Largest d_qk (and so d_v) that a problem may ask for.
inline constexpr std::int64_t kMaxHeadDim = 1024;

/// One attention call over a paged latent cache. Rows of Q are [h_q, d_qk]; K of a token is
/// [h_kv, d_qk], and V is its first d_v dimensions.
struct AttentionProblem {
  Phase phase = Phase::kDecode;
  std::int64_t batch = 0;       // b: requests
  std::int64_t s_q = 1;         // decode: query tokens a request; prefill: the longest request's
  std::int64_t h_q = 128;       // query heads
  std::int64_t h_kv = 1;        // KV heads; divides h_q
  std::int64_t d_qk = 576;      // latent + rope
  std::int64_t d_v = 512;       // latent
  std::int64_t page_size = 64;  // tokens a page
  DType q_dtype = DType::kBFloat16;
  DType out_dtype = DType::kBFloat16;
  KvFormat kv_format = KvFormat::kBFloat16;
  Mask mask = Mask::kNone;
  Sparsity sparsity = Sparsity::kDense;
  std::int64_t top_k = 0;                // kTopK: columns of the index array
  std::optional<float> softmax_scale{};  // default d_qk^-0.5
  bool has_attn_sink = false;

  float scale() const noexcept {
    return softmax_scale.value_or(1.0f / std::sqrt(static_cast<float>(d_qk)));
  }
  /// Query heads that share one KV head.
  std::int64_t group_size() const noexcept { return h_kv > 0 ? h_q / h_kv : 0; }
};

}  // namespace seesaw
