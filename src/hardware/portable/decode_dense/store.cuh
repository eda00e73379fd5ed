// O, m and l from registers to a slot, or the finished row to the output.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/row_output.cuh"
#include "hardware/portable/decode_dense/attend.cuh"
#include "hardware/portable/decode_dense/config.h"
#include "hardware/portable/decode_dense/work.cuh"

namespace seesaw::portable::decode_dense {

/// Row `half` of this lane's two: columns from first_column on, times the factor. Where the factor
/// is 0, o is not looked at.
template <typename Config, typename Out>
__device__ void store_row(const float (&o)[Config::kValueTiles][4], int half, float factor, Out* to,
                          int first_column, int d_v) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(to) % (2 * sizeof(Out)) == 0;
#pragma unroll
  for (int tile = 0; tile < Config::kValueTiles; ++tile) {
    const int column = first_column + 8 * tile + 2 * (static_cast<int>(threadIdx.x) % 4);
    const float x = factor == 0 ? 0.0f : o[tile][2 * half] * factor;
    const float y = factor == 0 ? 0.0f : o[tile][2 * half + 1] * factor;
    if (is_aligned && column + 1 < d_v) {
      cuda::store_pair(to + column, x, y);
    } else {
      if (column < d_v) to[column] = cuda::round_to<Out>(x);
      if (column + 1 < d_v) to[column + 1] = cuda::round_to<Out>(y);
    }
  }
}

/// All lanes of the warp take part, those of rows that are not there as well.
template <typename Config>
__device__ void store_item(const cuda::DecodeCall& call, const Item& item, int warp_row,
                           const RowStates& states, const float (&o)[Config::kValueTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int d_half = static_cast<int>(threadIdx.x) / 32 % 2;
  const int first_column = item.first_column + d_half * (Config::kDV / 2);
  const bool stores_state = first_column == 0 && lane % 4 == 0;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float l = sum_of_row(states.l[half]);
    const std::int32_t row_in_tile = warp_row + lane / 4 + 8 * half;
    const std::int32_t row = item.rows.begin + row_in_tile;
    if (row >= item.rows.end) continue;
    if (item.slot_idx >= 0) {
      float* const slot = call.slots + item.slot_idx * call.slot_stride;
      store_row<Config>(o, half, 1.0f, slot + std::int64_t{row_in_tile} * call.d_v, first_column,
                        call.d_v);
      if (stores_state) {
        float* const m = slot + std::int64_t{call.shape.rows_per_tile} * call.d_v;
        m[row_in_tile] = states.m_log2[half];
        m[call.shape.rows_per_tile + row_in_tile] = l;
      }
      continue;
    }
    const cuda::OutputRow output(call, item.sequence, row);
    const cuda::RowResult result = output.finish(states.m_log2[half], l);
    if (stores_state) output.store_lse(result.lse);
    if (call.out_dtype == DType::kFloat32) {
      store_row<Config>(o, half, result.o_factor, output.columns<float>().out, first_column,
                        call.d_v);
    } else if (call.out_dtype == DType::kBFloat16) {
      store_row<Config>(o, half, result.o_factor, output.columns<__nv_bfloat16>().out, first_column,
                        call.d_v);
    } else {
      store_row<Config>(o, half, result.o_factor, output.columns<__half>().out, first_column,
                        call.d_v);
    }
  }
}

}  // namespace seesaw::portable::decode_dense
