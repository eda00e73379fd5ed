// Online softmax of a tile of scores in the products' register layout: a thread of a warpgroup
// holds rows r and r + 8, r = 16 * warp + lane / 4, and of each the scores 8 j + 2 (lane % 4) + {0,
// 1}.
#pragma once

#include <cfloat>
#include <cstdint>

#include "hardware/sm90/decode_dense/config.h"
#include "hardware/sm90/ptx/arithmetic.cuh"

namespace seesaw::sm90::decode_dense {

/// m (log2 units) and l of a thread's two rows; l is of the thread's own scores. Before any key m
/// is as low as can be but finite, so that a hidden score, -inf, has a weight of 0 and not NaN.
struct RowPair {
  float m[2] = {-FLT_MAX, -FLT_MAX};
  float l[2] = {0, 0};
};

/// Hides the scores of row `half` from column `end` of the tile on.
__device__ __forceinline__ void mask(float (&s)[32], int half, int end) {
  const int first = threadIdx.x % 4 * 2;
  end = max(end, 0) - first;  // of the thread's own scores
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    if (8 * j >= end) s[4 * j + 2 * half] = -INFINITY;
    if (8 * j + 1 >= end) s[4 * j + 2 * half + 1] = -INFINITY;
  }
}

/// Raises m of rows whose largest score exceeds it by more than the slack; alpha is what l and O
/// are owed for that. `most` is of the thread's own scores.
__device__ __forceinline__ void raise_max(float scale_log2, const float (&most)[2], RowPair& state,
                                          float (&alpha)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float score = fmaxf(most[half], __shfl_xor_sync(~0u, most[half], 1));
    score = fmaxf(score, __shfl_xor_sync(~0u, score, 2)) * scale_log2;
    if (score > state.m[half] + kRescaleSlackLog2) {
      alpha[half] = ptx::exp2_approx(state.m[half] - score);
      state.m[half] = score;
      state.l[half] *= alpha[half];
    }
  }
}

/// Online softmax of a tile: scores become packed weights 2^(score - m). m of the tiles before
/// mostly serves, and then nothing is exchanged between threads.
template <typename Element>
__device__ __forceinline__ void weigh(float (&s)[32], float scale_log2, RowPair& state,
                                      float (&alpha)[2], std::uint32_t (&weights)[16]) {
  float most[2] = {fmaxf(s[0], s[1]), fmaxf(s[2], s[3])};
#pragma unroll
  for (int j = 1; j < 8; ++j) {
    most[0] = fmaxf(most[0], fmaxf(s[4 * j], s[4 * j + 1]));
    most[1] = fmaxf(most[1], fmaxf(s[4 * j + 2], s[4 * j + 3]));
  }
  alpha[0] = alpha[1] = 1;
  const bool is_above = most[0] * scale_log2 > state.m[0] + kRescaleSlackLog2 ||
                        most[1] * scale_log2 > state.m[1] + kRescaleSlackLog2;
  if (__any_sync(~0u, is_above)) raise_max(scale_log2, most, state, alpha);

  // The special-function unit takes eight cycles for each 2^x of a warp. Sums and packing follow a
  // group of eight behind, or every pair of them would wait for its own.
  constexpr int kGroup = 8;
#pragma unroll
  for (int i = 0; i < 32 + kGroup; ++i) {
    if (i < 32) s[i] = ptx::exp2_approx(fmaf(s[i], scale_log2, -state.m[i / 2 % 2]));
    const int pair = i - kGroup;
    if (pair >= 0 && pair % 2 == 1) {
      state.l[pair / 2 % 2] += s[pair - 1] + s[pair];
      weights[pair / 2] = ptx::pack<Element>(s[pair - 1], s[pair]);
    }
  }
}

}  // namespace seesaw::sm90::decode_dense
