// What threads tell each other through memory. One instruction a function. PTX ISA, "atom", "st".
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

// Words of shared memory. As C++ a store that one thread makes lets the compiler doubt, for all
// loads from there, that a warp's lanes see the same.
__device__ __forceinline__ void store(std::uint32_t to, std::int32_t value) {
  asm volatile("st.shared.s32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
}
__device__ __forceinline__ std::int32_t load(std::uint32_t from) {
  std::int32_t value;
  asm volatile("ld.shared.s32 %0, [%1];" : "=r"(value) : "r"(from) : "memory");
  return value;
}
__device__ __forceinline__ void store(std::uint32_t to, float x) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(x) : "memory");
}
__device__ __forceinline__ void store(std::uint32_t to, float x, float y) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(x), "f"(y) : "memory");
}
__device__ __forceinline__ float load_float(std::uint32_t from) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(from) : "memory");
  return x;
}
__device__ __forceinline__ void store(std::uint32_t to, std::int64_t x) {
  asm volatile("st.shared.s64 [%0], %1;" ::"r"(to), "l"(x) : "memory");
}
__device__ __forceinline__ std::int64_t load_long(std::uint32_t from) {
  std::int64_t x;
  asm volatile("ld.shared.s64 %0, [%1];" : "=l"(x) : "r"(from) : "memory");
  return x;
}
__device__ __forceinline__ float4 load_quad(std::uint32_t from) {
  float4 x;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "r"(from)
               : "memory");
  return x;
}

/// threadIdx.x, read anew: nothing that is made of it is kept from before, in registers that are
/// short.
__device__ __forceinline__ int thread() {
  int x;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
  return x;
}

}  // namespace seesaw::sm90::ptx
