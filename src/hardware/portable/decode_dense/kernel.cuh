// The kernel: a persistent block computes its items one after the other.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/portable/decode_dense/attend.cuh"
#include "hardware/portable/decode_dense/config.h"
#include "hardware/portable/decode_dense/load.cuh"
#include "hardware/portable/decode_dense/store.cuh"
#include "hardware/portable/decode_dense/work.cuh"

namespace seesaw::portable::decode_dense {

template <typename Config, typename Element>
__device__ __forceinline__ void compute_item(const cuda::DecodeCall& call,
                                             const Alignment& alignment, const Item& item,
                                             std::uint16_t* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 2 * kWarpRows;
  const bool has_rows = item.rows.begin + warp_row < item.rows.end;
  float4* const scores = reinterpret_cast<float4*>(shared + Config::kScoresAt / 2);
  // Items begin at multiples of two steps. Unsigned: the last step may end beyond 2^31 - 1.
  const auto stage_of = [&](std::uint32_t key) {
    return shared + key / Config::kStepTokens % kStages * (Config::kStageBytes / 2);
  };
  const auto key_begin = static_cast<std::uint32_t>(item.key_begin);
  const auto key_end = static_cast<std::uint32_t>(item.key_end);

  KeyLoader<Config> loader(call, alignment, item);
  if (key_begin < key_end) loader.load_step(stage_of(key_begin));
  std::uint32_t q[Config::kScoreSteps][4];
  load_queries(call, alignment, item, warp_row, warp % 2 * (Config::kDQk / 2), q);
  float o[Config::kValueTiles][4] = {};
  RowStates states;
  const std::int32_t visible_end = all_visible_end(call.shape, item, warp_row);
#pragma unroll 1
  for (std::uint32_t key = key_begin; key < key_end; key += Config::kStepTokens) {
    wait_for_copies();
    __syncthreads();  // this step's keys are there, and the last step's have been read
    const std::uint32_t next = key + Config::kStepTokens;
    if (next < key_end) loader.load_step(stage_of(next));
    if (!has_rows) continue;
    attend<Config, Element>(call, item, visible_end, static_cast<std::int32_t>(key), stage_of(key),
                            scores, q, states, o);
  }
  if (has_rows) store_item<Config>(call, item, warp_row, states, o);
}

template <typename Config, typename Element>
__global__ void __launch_bounds__(kThreads, 1)
    decode_dense_portable(const __grid_constant__ cuda::DecodeCall call,
                          const __grid_constant__ Alignment alignment) {
  extern __shared__ __align__(16) std::uint16_t shared[];
  cuda::wait_for_previous_kernel();
  cuda::let_next_kernel_start();
  static_assert(Config::kCursorAt + sizeof(Cursor) <= Config::kSharedBytes);
  Cursor& cursor = *reinterpret_cast<Cursor*>(shared + Config::kCursorAt / 2);
  if (threadIdx.x == 0) open_cursor(call, cursor);
  while (true) {
    __syncthreads();  // the last item has been read, and its keys
    if (threadIdx.x == 0) next_item(call, Config::kDV, cursor);
    __syncthreads();
    if (!cursor.has_item) return;
    compute_item<Config, Element>(call, alignment, cursor.item, shared);
  }
}

template <typename Config, typename Element>
Status launch_instance(const cuda::DecodeCall& call, const Alignment& alignment,
                       cuda::StreamHandle stream) {
  cuda::LaunchShape shape;
  shape.grid.x = static_cast<unsigned>(call.shape.num_groups * call.shape.group_size);
  shape.block.x = kThreads;
  shape.shared_bytes = Config::kSharedBytes;
  return cuda::launch_dependent<decode_dense_portable<Config, Element>>(
      "decode_dense_portable", shape, stream, call, alignment);
}

}  // namespace seesaw::portable::decode_dense
