// Words and matrices of shared memory. One instruction a function; addresses are 32-bit
// shared-memory addresses. PTX ISA, "ld", "st", "ldmatrix".
#pragma once

#include <cstdint>

namespace seesaw::sm90::ptx {

// As C++ a store that one thread makes lets the compiler doubt, for all
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

/// Four 8x8 matrices of 16-bit elements: register i of lane 4 r + c gets elements (r, 2c), (r,
/// 2c+1) of matrix i, whose row r starts at lane 8 i + r's address.
__device__ __forceinline__ void load_matrices(std::uint32_t (&x)[4], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row_address)
               : "memory");
}

/// The reverse of load_matrices.
__device__ __forceinline__ void store_matrices(std::uint32_t row_address, const std::uint32_t* x) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row_address),
      "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
      : "memory");
}

}  // namespace seesaw::sm90::ptx
