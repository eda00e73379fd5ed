// The device's side of trace.h.
#pragma once

#include "hardware/sm90/decode_dense/kernel_args.h"
#include "hardware/sm90/decode_dense/trace.h"

namespace seesaw::sm90::decode_dense {

/// Notes the clock, in the first thread of each warpgroup. Nothing without SEESAW_TRACE.
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
