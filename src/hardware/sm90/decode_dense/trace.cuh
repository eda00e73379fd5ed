// In-kernel clocks, in builds with SEESAW_TRACE only (a mask of points: each mark delays its warp
// by 100 cycles or more): when each warpgroup of a block reached which point of which tile.
// benchmarks/hopper/trace.py turns them into a Chrome/Perfetto trace.
#pragma once

#include "hardware/sm90/decode_dense/kernel_args.h"

namespace seesaw::sm90::decode_dense {

enum class TracePoint : int {
  kScoresDone,    // score: Q K^T of the tile has come
  kTailLoaded,    // score: every warp is done with the tile, the next tail is asked for
  kWeighed,       // score: softmax done
  kQueued,        // score: the next tile's products are queued
  kWeightsFree,   // score: the tile before has been multiplied
  kPublished,     // score: weights handed over
  kWeightsReady,  // value: weights have come
  kValuesQueued,  // value: P V queued
  kValuesDone,    // value: P V has come
  kRefilled,      // value: the stage's next copy is asked for
};
inline constexpr int kTracePoints = 10;
inline constexpr int kTraceTiles = 128;

/// args.trace is [blocks][3 warpgroups][kTraceTiles][kTracePoints] clocks of the multiprocessor, or
/// nullptr.
__device__ __forceinline__ void mark([[maybe_unused]] const KernelArgs& args,
                                     [[maybe_unused]] TracePoint point, [[maybe_unused]] int tile) {
#ifdef SEESAW_TRACE
  if (!(SEESAW_TRACE >> static_cast<int>(point) & 1)) return;
  if (threadIdx.x % 128 != 0 || tile >= kTraceTiles || args.trace == nullptr) return;
  const unsigned row = (blockIdx.x * 3 + threadIdx.x / 128) * kTraceTiles + tile;
  args.trace[row * kTracePoints + static_cast<int>(point)] = static_cast<unsigned>(clock());
#endif
}

}  // namespace seesaw::sm90::decode_dense
