// The end of a query row, shared by kernels that write rows: what its state becomes, and where
// that goes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "hardware/cuda/decode_call.h"

namespace seesaw::cuda {

/// As algorithm::SoftmaxResult: the output is o * o_factor; where it is 0, o is not to be read.
struct RowResult {
  float o_factor = 0;
  float lse = INFINITY;  // natural log; +inf: no key seen
};

template <typename Out>
__device__ inline Out round_to(float value);
template <>
__device__ inline float round_to(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 round_to(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline __half round_to(float value) {
  return __float2half_rn(value);
}

/// Two columns as one store.
__device__ inline void store_pair(float* out, float x, float y) {
  *reinterpret_cast<float2*>(out) = {x, y};
}
__device__ inline void store_pair(__nv_bfloat16* out, float x, float y) {
  *reinterpret_cast<__nv_bfloat162*>(out) = __floats2bfloat162_rn(x, y);
}
__device__ inline void store_pair(__half* out, float x, float y) {
  *reinterpret_cast<__half2*>(out) = __floats2half2_rn(x, y);
}

/// A row of the output.
template <typename Out>
struct OutputColumns {
  Out* out;
  std::int32_t d_v;

  /// Columns [column, column + 4) times the factor, as far as they are before d_v; in one store
  /// where the address allows it.
  __device__ void store(std::int32_t column, const float4& o, float factor) const {
    if (column >= d_v) return;
    Out* const to = out + column;
    constexpr std::uintptr_t kBytes = 4 * sizeof(Out);
    if (column + 4 <= d_v && reinterpret_cast<std::uintptr_t>(to) % kBytes == 0) {
      struct alignas(kBytes) Quad {
        Out columns[4];
      };
      *reinterpret_cast<Quad*>(to) = {round_to<Out>(o.x * factor), round_to<Out>(o.y * factor),
                                      round_to<Out>(o.z * factor), round_to<Out>(o.w * factor)};
      return;
    }
    const float values[4] = {o.x, o.y, o.z, o.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (column + i < d_v) to[i] = round_to<Out>(values[i] * factor);
    }
  }
};

/// Output, log-sum-exp and attention sink of query row `row` of a (request, KV head): rows are
/// (query token, head) pairs.
class OutputRow {
 public:
  __device__ OutputRow(const DecodeCall& call, const Sequence& sequence, std::int32_t row)
      : call_(call) {
    const std::int64_t token = row / call.shape.heads_per_kv;
    const std::int64_t head = std::int64_t{sequence.kv_head_idx} * call.shape.heads_per_kv +
                              row % call.shape.heads_per_kv;
    const auto offset = [&](const RowStrides& strides) {
      return sequence.request_idx * strides.request + token * strides.token + head * strides.head;
    };
    out_offset_ = offset(call.out_strides);
    lse_offset_ = offset(call.lse_strides);
    sink_offset_ = head * call.attn_sink_stride;
  }

  /// Where its head's attention sink is; nullptr: there are none.
  __device__ const float* sink() const {
    return call_.attn_sink != nullptr ? call_.attn_sink + sink_offset_ : nullptr;
  }

  /// As algorithm::finalize. `sink`: what is at sink(), or anything where there are none.
  __device__ static RowResult finish(const DecodeCall& call, float m_log2, float l, float sink) {
    RowResult result;
    if (l == 0) return result;
    constexpr float kLog2E = 1.44269504088896340736f;
    constexpr float kLn2 = 0.69314718055994530942f;
    const float lse_log2 = m_log2 + log2f(l);
    float sink_excess = 0;
    if (call.attn_sink != nullptr) sink_excess = exp2f(sink * kLog2E - lse_log2);
    result.o_factor = 1.0f / (l * (1.0f + sink_excess));
    result.lse = lse_log2 * kLn2;
    return result;
  }
  __device__ RowResult finish(float m_log2, float l) const {
    return finish(call_, m_log2, l, l != 0 && sink() != nullptr ? *sink() : 0);
  }

  /// Anything where call.lse is nullptr.
  __device__ float* lse() const { return call_.lse + lse_offset_; }
  __device__ void store_lse(float value) const {
    if (call_.lse != nullptr) *lse() = value;
  }

  template <typename Out>
  __device__ OutputColumns<Out> columns() const {
    return {static_cast<Out*>(call_.out) + out_offset_, call_.d_v};
  }

 private:
  const DecodeCall& call_;
  std::int64_t out_offset_ = 0;
  std::int64_t lse_offset_ = 0;
  std::int64_t sink_offset_ = 0;
};

}  // namespace seesaw::cuda
