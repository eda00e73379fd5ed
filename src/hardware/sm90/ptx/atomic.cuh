// What blocks tell each other through global memory. One instruction a function. PTX ISA, "atom"
// and "ld".
#pragma once

#include <cstdint>

namespace seesaw::sm90::ptx {

/// Counts one up, or from `last` back to 0, and returns what was there. Writes of this thread, and
/// of those that it has met at a barrier, are seen by whoever counts after it.
__device__ __forceinline__ std::int32_t count_around(std::int32_t* at, std::int32_t last) {
  std::int32_t before;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(at)), "r"(last)
               : "memory");
  return before;
}

/// What others have counted, and what they had written before.
__device__ __forceinline__ std::int32_t load_acquire(const std::int32_t* at) {
  std::int32_t value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];"
               : "=r"(value)
               : "l"(__cvta_generic_to_global(at))
               : "memory");
  return value;
}

}  // namespace seesaw::sm90::ptx
