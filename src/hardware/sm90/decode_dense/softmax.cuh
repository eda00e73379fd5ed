// Online softmax of a tile of scores in the products' register layout: a thread of a warpgroup
// holds rows r and r + 8, r = 16 * warp + lane / 4, and of each the scores 8 j + 2 (lane % 4) + {0,
// 1}.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "hardware/sm90/decode_dense/config.h"

namespace seesaw::sm90::decode_dense {

__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

template <typename Element>
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<Element, __nv_bfloat16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}

/// m (log2 units) and l of a thread's two rows; l is of the thread's own scores.
struct RowPair {
  float m[2] = {-INFINITY, -INFINITY};
  float l[2] = {0, 0};
};

/// Hides the scores of row `half` from column `end` of the tile on.
__device__ __forceinline__ void mask(float (&s)[32], int half, int end) {
  const int first = threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    if (8 * j + first >= end) s[4 * j + 2 * half] = -INFINITY;
    if (8 * j + first + 1 >= end) s[4 * j + 2 * half + 1] = -INFINITY;
  }
}

/// Scores become packed weights 2^(score - m); alpha is what O is owed for a change of m.
template <typename Element>
__device__ __forceinline__ void weigh(const float (&s)[32], float scale_log2, RowPair& state,
                                      float (&alpha)[2], std::uint32_t (&weights)[16]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = -INFINITY;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      most = fmaxf(most, fmaxf(s[4 * j + 2 * half], s[4 * j + 2 * half + 1]));
    }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 2)) * scale_log2;
    alpha[half] = 1;
    if (most > state.m[half] + kRescaleSlackLog2) {
      alpha[half] = exp2_approx(state.m[half] - most);
      state.m[half] = most;
    }
    state.l[half] *= alpha[half];
    // A row that has seen no key yet: any finite number keeps its weights at 0.
    const float m = state.m[half] == -INFINITY ? 0 : state.m[half];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float a = exp2_approx(fmaf(s[4 * j + 2 * half], scale_log2, -m));
      const float b = exp2_approx(fmaf(s[4 * j + 2 * half + 1], scale_log2, -m));
      state.l[half] += a + b;
      weights[2 * j + half] = pack<Element>(a, b);
    }
  }
}

}  // namespace seesaw::sm90::decode_dense
