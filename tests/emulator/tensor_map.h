// What cuTensorMapEncodeTiled writes into a CUtensorMap here.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace seesaw::emulator {

struct TensorMap {
  const std::byte* data;
  std::uint64_t sizes[5];    // elements, the innermost first
  std::uint64_t strides[4];  // bytes, from the second on
  std::uint32_t box[5];      // elements
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));

inline constexpr int kMapElementBytes = 2;

}  // namespace seesaw::emulator
