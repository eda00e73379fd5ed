// Asynchronous matrix products of a warpgroup, D[64, n] += A[64, 16] B[16, n] in float32. The
// instructions are CUTLASS's atoms; here they take arrays. PTX ISA, "wgmma.mma_async".
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include <cute/arch/mma_sm90_gmma.hpp>

namespace seesaw::sm90::ptx {

namespace detail {

using cute::SM90::GMMA::Major;
using cute::SM90::GMMA::ScaleOut;

template <typename Element>
constexpr bool kIsBFloat16 = std::is_same_v<Element, __nv_bfloat16>;

template <typename Element>
using ScoresOfRegisters =
    std::conditional_t<kIsBFloat16<Element>,
                       cute::SM90::GMMA::MMA_64x64x16_F32BF16BF16_RS<Major::K, Major::K>,
                       cute::SM90::GMMA::MMA_64x64x16_F32F16F16_RS<Major::K, Major::K>>;
template <typename Element>
using ScoresOfShared =
    std::conditional_t<kIsBFloat16<Element>,
                       cute::SM90::GMMA::MMA_64x64x16_F32BF16BF16_SS<Major::K, Major::K>,
                       cute::SM90::GMMA::MMA_64x64x16_F32F16F16_SS<Major::K, Major::K>>;
template <typename Element, int kColumns>
struct ValuesOf;
template <>
struct ValuesOf<__nv_bfloat16, 256> {
  using Type = cute::SM90::GMMA::MMA_64x256x16_F32BF16BF16_SS<Major::K, Major::MN>;
};
template <>
struct ValuesOf<__half, 256> {
  using Type = cute::SM90::GMMA::MMA_64x256x16_F32F16F16_SS<Major::K, Major::MN>;
};
template <>
struct ValuesOf<__nv_bfloat16, 128> {
  using Type = cute::SM90::GMMA::MMA_64x128x16_F32BF16BF16_SS<Major::K, Major::MN>;
};
template <>
struct ValuesOf<__half, 128> {
  using Type = cute::SM90::GMMA::MMA_64x128x16_F32F16F16_SS<Major::K, Major::MN>;
};

template <typename Atom, int... kIdx>
__device__ __forceinline__ void multiply(const std::uint32_t* a, std::uint64_t b,
                                         float (&d)[sizeof...(kIdx)], bool adds,
                                         std::integer_sequence<int, kIdx...>) {
  Atom::fma(a[0], a[1], a[2], a[3], b, d[kIdx]..., static_cast<ScaleOut>(adds));
}
template <typename Atom, int... kIdx>
__device__ __forceinline__ void multiply(std::uint64_t a, std::uint64_t b,
                                         float (&d)[sizeof...(kIdx)], bool adds,
                                         std::integer_sequence<int, kIdx...>) {
  Atom::fma(a, b, d[kIdx]..., static_cast<ScaleOut>(adds));
}

}  // namespace detail

/// Describes an operand in shared memory, swizzled by 128 bytes. Only its low word has the address,
/// in units of 16 bytes: neighbouring operands are one addition apart, where making each from its
/// address takes five dependent instructions, longer than a product of 64 columns.
struct Operand {
  std::uint32_t low;
  std::uint32_t high;

  __device__ __forceinline__ Operand after(int bytes) const {
    return {low + static_cast<std::uint32_t>(bytes >> 4), high};
  }
  __device__ __forceinline__ std::uint64_t descriptor() const {
    std::uint64_t both;
    asm("mov.b64 %0, {%1, %2};" : "=l"(both) : "r"(low), "r"(high));
    return both;
  }
};

/// Without the bits above an address that tell a cluster's blocks apart.
__device__ __forceinline__ std::uint32_t address_field(std::uint32_t address) {
  return (address & 0x3ffff) >> 4;
}

/// Rows of 64 elements (128 bytes) along the products' k: groups of 8 rows are 1,024 bytes apart.
__device__ __forceinline__ Operand operand_along_k(std::uint32_t address) {
  return {address_field(address) | 1u << 16, 1024u >> 4 | 1u << 30};
}

/// The same memory read across: rows of 64 elements along n, the next 64 along n are
/// `column_bytes` away, groups of 8 along k are 1,024 bytes apart.
__device__ __forceinline__ Operand operand_along_n(std::uint32_t address, int column_bytes) {
  return {address_field(address) | static_cast<std::uint32_t>(column_bytes >> 4) << 16,
          1024u >> 4 | 1u << 30};
}

/// s (+)= A B with A [64, 16] in registers, both along k.
template <typename Element>
__device__ __forceinline__ void multiply_scores(const std::uint32_t* a, const Operand& b,
                                                float (&s)[32], bool adds) {
  detail::multiply<detail::ScoresOfRegisters<Element>>(a, b.descriptor(), s, adds,
                                                       std::make_integer_sequence<int, 32>{});
}

/// The same with A in shared memory.
template <typename Element>
__device__ __forceinline__ void multiply_scores(const Operand& a, const Operand& b, float (&s)[32],
                                                bool adds) {
  detail::multiply<detail::ScoresOfShared<Element>>(a.descriptor(), b.descriptor(), s, adds,
                                                    std::make_integer_sequence<int, 32>{});
}

/// o (+)= A B with A [64, 16] along k and B [16, 2 * kCount] along n, both in shared memory.
template <typename Element, int kCount>
__device__ __forceinline__ void multiply_values(const Operand& a, const Operand& b,
                                                float (&o)[kCount], bool adds) {
  detail::multiply<typename detail::ValuesOf<Element, 2 * kCount>::Type>(
      a.descriptor(), b.descriptor(), o, adds, std::make_integer_sequence<int, kCount>{});
}

/// Before the first product after a change of registers it uses.
__device__ __forceinline__ void begin_products() { cute::warpgroup_arrive(); }
__device__ __forceinline__ void commit_products() { cute::warpgroup_commit_batch(); }

/// All committed products are done, and `d` may be read.
template <int kCount>
__device__ __forceinline__ void finish_products(float (&d)[kCount]) {
  cute::warpgroup_wait<0>();
#pragma unroll
  for (int i = 0; i < kCount; ++i) cute::warpgroup_fence_operand(d[i]);
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
