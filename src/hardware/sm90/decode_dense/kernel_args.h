// What the kernel is launched with besides its two tensor maps.
#pragma once

#include <cstdint>

#include <cutlass/fast_math.h>
#include "hardware/cuda/decode_call.h"

namespace seesaw::sm90::decode_dense {

struct KernelArgs {
  cuda::DecodeCall call;
  // A box of the keys' map: tokens of one page that are copied at a time, and columns at a time. A
  // tile of several pages takes each column by itself, so that a column's tokens stay together.
  std::int32_t box_tokens = 64;  // 16, 32 or 64
  std::int32_t box_columns = 1;  // 1, or those of half a tile
  cutlass::FastDivmod heads_per_kv;
  cutlass::FastDivmod page_size;
  unsigned* trace = nullptr;  // see trace.h
};

}  // namespace seesaw::sm90::decode_dense
