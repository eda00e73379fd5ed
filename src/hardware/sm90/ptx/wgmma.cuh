// Asynchronous matrix products of a warpgroup, D[64, n] += A[64, 16] B[16, n] in float32. The
// instructions are CUTLASS's atoms; here they take arrays. PTX ISA, "wgmma.mma_async".
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include <cute/arch/mma_sm90_gmma.hpp>
#include "hardware/sm90/ptx/operand.cuh"

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

__device__ __forceinline__ std::uint64_t descriptor(const Operand& of) {
  std::uint64_t both;
  asm("mov.b64 %0, {%1, %2};" : "=l"(both) : "r"(of.low), "r"(of.high));
  return both;
}

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

/// s (+)= A B with A [64, 16] in registers, both along k.
template <typename Element>
__device__ __forceinline__ void multiply_scores(const std::uint32_t* a, const Operand& b,
                                                float (&s)[32], bool adds) {
  detail::multiply<detail::ScoresOfRegisters<Element>>(a, detail::descriptor(b), s, adds,
                                                       std::make_integer_sequence<int, 32>{});
}

/// The same with A in shared memory.
template <typename Element>
__device__ __forceinline__ void multiply_scores(const Operand& a, const Operand& b, float (&s)[32],
                                                bool adds) {
  detail::multiply<detail::ScoresOfShared<Element>>(detail::descriptor(a), detail::descriptor(b), s,
                                                    adds, std::make_integer_sequence<int, 32>{});
}

/// o (+)= A B with A [64, 16] along k and B [16, 2 * kCount] along n, both in shared memory.
template <typename Element, int kCount>
__device__ __forceinline__ void multiply_values(const Operand& a, const Operand& b,
                                                float (&o)[kCount], bool adds) {
  detail::multiply<typename detail::ValuesOf<Element, 2 * kCount>::Type>(
      detail::descriptor(a), detail::descriptor(b), o, adds,
      std::make_integer_sequence<int, kCount>{});
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

}  // namespace seesaw::sm90::ptx
