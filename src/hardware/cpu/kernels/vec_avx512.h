// Sixteen float32 lanes in a zmm register.
#pragma once

#include <immintrin.h>

#include "hardware/cpu/kernels/simd.h"

namespace seesaw::cpu {
namespace {

struct VecAvx512 {
  static constexpr int kLanes = 16;
  using Float = __m512;

  SEESAW_INLINE static Float zero() { return _mm512_setzero_ps(); }
  SEESAW_INLINE static Float broadcast(float x) { return _mm512_set1_ps(x); }
  SEESAW_INLINE static Float broadcast_pair(const void* p) {
    double pair;
    __builtin_memcpy(&pair, p, 8);
    return _mm512_castpd_ps(_mm512_set1_pd(pair));
  }
  /// a0 + a1, a2 + a3, .. a14 + a15, b0 + b1, ..
  SEESAW_INLINE static Float add_neighbours(Float a, Float b) {
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_add_ps(_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
  }
  SEESAW_INLINE static Float load(const float* p) { return _mm512_loadu_ps(p); }
  SEESAW_INLINE static void store(float* p, Float x) { _mm512_storeu_ps(p, x); }
  SEESAW_INLINE static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  SEESAW_INLINE static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  SEESAW_INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  SEESAW_INLINE static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  /// max, but b where either is NaN.
  SEESAW_INLINE static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  /// x where idx < limit, else -infinity. idx and limit are small whole numbers.
  SEESAW_INLINE static Float keep_below(Float x, float idx, Float limit) {
    const __mmask16 seen = _mm512_cmp_ps_mask(_mm512_set1_ps(idx), limit, _CMP_LT_OQ);
    return _mm512_mask_mov_ps(_mm512_set1_ps(-__builtin_inff()), seen, x);
  }
  /// x, but 0 where x is -infinity.
  SEESAW_INLINE static Float zero_if_minus_infinity(Float x) {
    const __mmask16 finite = _mm512_cmp_ps_mask(x, broadcast(-__builtin_inff()), _CMP_NEQ_UQ);
    return _mm512_maskz_mov_ps(finite, x);
  }
  SEESAW_INLINE static bool all_equal(Float a, Float b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) == 0xffff;
  }
  SEESAW_INLINE static Float round_to_int(Float x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// x * 2^n for whole n; results under the smallest normal number may be rounded twice or be 0.
  SEESAW_INLINE static Float scale_by_power(Float x, Float n) { return _mm512_scalef_ps(x, n); }

  SEESAW_INLINE static Float load_bf16(const std::uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  SEESAW_INLINE static Float load_f16(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  SEESAW_INLINE static void store_bf16(std::uint16_t* p, Float x) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i lsb = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const __m512i bits = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, is_nan, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bits));
  }
  SEESAW_INLINE static void store_f16(std::uint16_t* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

}  // namespace
}  // namespace seesaw::cpu
