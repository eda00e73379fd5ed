// One step: the scores of 32 keys, their softmax, and the weighted sum of their values.
//
// Two warps share 16 rows. Each multiplies its half of d_qk with all keys, they add their halves of
// the scores, both take the same softmax, and each sums its half of d_v: so the queries and O stay
// in registers, and the only thing to exchange is 2 KiB of scores a warp.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "hardware/portable/decode_dense/config.h"
#include "hardware/portable/decode_dense/work.cuh"
#include "hardware/portable/ptx/copy.cuh"
#include "hardware/portable/ptx/mma.cuh"

namespace seesaw::portable::decode_dense {

/// Scores of 16 rows and a step's keys, as C operands; weights, as A operands.
template <typename Config>
using Scores = float[Config::kKeyTiles][4];
template <typename Config>
using Weights = std::uint32_t[Config::kWeightSteps][4];

/// The online softmax of this lane's rows, g and g + 8 (ptx/mma.cuh); l is of this lane's columns.
struct RowStates {
  float m_log2[2] = {-INFINITY, -INFINITY};
  float l[2] = {0, 0};
};

/// q . k over half of d_qk, from `keys`: the address of the stage's first key at that half.
template <typename Config, typename Element>
__device__ __forceinline__ void multiply_keys(std::uint32_t keys,
                                              const std::uint32_t (&q)[Config::kScoreSteps][4],
                                              Scores<Config>& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // Matrices 0 and 1 are eight keys at dimensions 0 and 8, matrices 2 and 3 the next eight keys.
  const int key = lane % 8 + lane / 16 * 8;
  keys += 2 * (key * Config::kPitch + lane / 8 % 2 * 8);
#pragma unroll
  for (int tile = 0; tile < Config::kKeyTiles; ++tile)
    s[tile][0] = s[tile][1] = s[tile][2] = s[tile][3] = 0;
#pragma unroll
  for (int step = 0; step < Config::kScoreSteps; ++step) {
#pragma unroll
    for (int tile = 0; tile < Config::kKeyTiles; tile += 2) {
      std::uint32_t k[4];
      load_matrices(k, keys + 2 * (8 * tile * Config::kPitch + 16 * step));
      multiply_add<Element>(s[tile], q[step], k[0], k[1]);
      multiply_add<Element>(s[tile + 1], q[step], k[2], k[3]);
    }
  }
}

/// Adds the other warp's half. scores: float4 [kWarps][Config::kKeyTiles][32]; a lane finds its own
/// numbers of the other warp under its own number.
template <typename Config>
__device__ __forceinline__ void add_halves(float4* scores, int warp, Scores<Config>& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float4* const mine = scores + warp * Config::kKeyTiles * 32 + lane;
  const float4* const other = scores + (warp ^ 1) * Config::kKeyTiles * 32 + lane;
#pragma unroll
  for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
    mine[32 * tile] = make_float4(s[tile][0], s[tile][1], s[tile][2], s[tile][3]);
  }
  barrier(1 + warp / 2, 64);
#pragma unroll
  for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
    const float4 x = other[32 * tile];
    s[tile][0] += x.x;
    s[tile][1] += x.y;
    s[tile][2] += x.z;
    s[tile][3] += x.w;
  }
}

/// Of a lane's row, over the four lanes that hold it.
__device__ __forceinline__ float max_of_row(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float sum_of_row(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/// Keys that all rows of the warp see: those before.
__device__ __forceinline__ std::int32_t all_visible_end(const GroupShape& shape, const Item& item,
                                                        int warp_row) {
  return min(item.key_end, keys_of_rows(shape, item.s_k, item.rows.begin + warp_row + 1));
}

/// Sets the scores of keys that a row does not see to -inf.
template <typename Config>
__device__ __forceinline__ void mask(const GroupShape& shape, const Item& item, int warp_row,
                                     std::int32_t first_key, Scores<Config>& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  first_key += lane % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int32_t row = item.rows.begin + warp_row + lane / 4 + 8 * half;
    const std::int32_t num_visible =
        min(item.key_end, keys_of_rows(shape, item.s_k, row + 1)) - first_key;
#pragma unroll
    for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
      if (8 * tile >= num_visible) s[tile][2 * half] = -INFINITY;
      if (8 * tile + 1 >= num_visible) s[tile][2 * half + 1] = -INFINITY;
    }
  }
}

/// Turns scores into weights, as A operands rounded to the element type, and raises the states.
/// `factors` are what O is owed.
template <typename Config, typename Element>
__device__ __forceinline__ void take_softmax(const Scores<Config>& s, RowStates& states,
                                             float (&factors)[2], Weights<Config>& p) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float m = states.m_log2[half];
#pragma unroll
    for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
      m = fmaxf(m, fmaxf(s[tile][2 * half], s[tile][2 * half + 1]));
    }
    m = max_of_row(m);
    // A row that has seen no key: -inf - 0 gives weights of 0, -inf - -inf would give NaN.
    const float subtrahend = m == -INFINITY ? 0.0f : m;
    factors[half] = exp2_approx(states.m_log2[half] - subtrahend);
    states.m_log2[half] = m;
    float l = 0;
#pragma unroll
    for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
      const std::uint32_t pair = pack<Element>(exp2_approx(s[tile][2 * half] - subtrahend),
                                               exp2_approx(s[tile][2 * half + 1] - subtrahend));
      const float2 rounded = unpack<Element>(pair);
      l += rounded.x + rounded.y;
      p[tile / 2][tile % 2 * 2 + half] = pair;
    }
    states.l[half] = states.l[half] * factors[half] + l;
  }
}

/// o += P V over half of d_v, from `values`: the address of the stage's first key at that half.
template <typename Config, typename Element>
__device__ __forceinline__ void multiply_values(std::uint32_t values, const Weights<Config>& p,
                                                float (&o)[Config::kValueTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // Matrices 0 and 1 are eight columns of keys 0 and 8, matrices 2 and 3 the next eight columns.
  values += 2 * (lane % 16 * Config::kPitch + lane / 16 * 8);
#pragma unroll
  for (int step = 0; step < Config::kWeightSteps; ++step) {
#pragma unroll
    for (int tile = 0; tile < Config::kValueTiles; tile += 2) {
      std::uint32_t v[4];
      load_transposed(v, values + 2 * (16 * step * Config::kPitch + 8 * tile));
      multiply_add<Element>(o[tile], p[step], v[0], v[1]);
      multiply_add<Element>(o[tile + 1], p[step], v[2], v[3]);
    }
  }
}

/// The whole step for this warp's rows. All of them see the keys before visible_end.
template <typename Config, typename Element>
__device__ __forceinline__ void attend(const cuda::DecodeCall& call, const Item& item,
                                       std::int32_t visible_end, std::int32_t first_key,
                                       const std::uint16_t* stage, float4* scores,
                                       const std::uint32_t (&q)[Config::kScoreSteps][4],
                                       RowStates& states, float (&o)[Config::kValueTiles][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int half = warp % 2;
  Scores<Config> s;
  multiply_keys<Config, Element>(shared_address(stage + half * (Config::kDQk / 2)), q, s);
  add_halves<Config>(scores, warp, s);
#pragma unroll
  for (int tile = 0; tile < Config::kKeyTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s[tile][i] *= call.scale_log2;
  }
  if (visible_end - first_key < Config::kStepTokens) {
    mask<Config>(call.shape, item, warp / 2 * kWarpRows, first_key, s);
  }
  float factors[2];
  Weights<Config> p;
  take_softmax<Config, Element>(s, states, factors, p);
  if (__any_sync(0xffffffffu, factors[0] != 1 || factors[1] != 1)) {
#pragma unroll
    for (int tile = 0; tile < Config::kValueTiles; ++tile) {
      o[tile][0] *= factors[0];
      o[tile][1] *= factors[0];
      o[tile][2] *= factors[1];
      o[tile][3] *= factors[1];
    }
  }
  multiply_values<Config, Element>(
      shared_address(stage + item.first_column + half * (Config::kDV / 2)), p, o);
}

}  // namespace seesaw::portable::decode_dense
