// Eight float32 lanes in a ymm register: AVX2 with FMA and F16C.
#pragma once

#include <immintrin.h>

#include "hardware/cpu/kernels/simd.h"

namespace seesaw::cpu {
namespace {

struct VecAvx2 {
  static constexpr int kLanes = 8;
  using Float = __m256;

  SEESAW_INLINE static Float zero() { return _mm256_setzero_ps(); }
  SEESAW_INLINE static Float broadcast(float x) { return _mm256_set1_ps(x); }
  SEESAW_INLINE static Float load(const float* p) { return _mm256_loadu_ps(p); }
  SEESAW_INLINE static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }
  SEESAW_INLINE static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  SEESAW_INLINE static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  SEESAW_INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  SEESAW_INLINE static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  /// max, but b where either is NaN.
  SEESAW_INLINE static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  /// x where idx < limit, else -infinity. idx and limit are small whole numbers.
  SEESAW_INLINE static Float keep_below(Float x, float idx, Float limit) {
    const Float seen = _mm256_cmp_ps(broadcast(idx), limit, _CMP_LT_OQ);
    return _mm256_blendv_ps(broadcast(-__builtin_inff()), x, seen);
  }
  /// x, but 0 where x is -infinity.
  SEESAW_INLINE static Float zero_if_minus_infinity(Float x) {
    return _mm256_and_ps(x, _mm256_cmp_ps(x, broadcast(-__builtin_inff()), _CMP_NEQ_UQ));
  }
  SEESAW_INLINE static bool all_equal(Float a, Float b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) == 0xff;
  }
  SEESAW_INLINE static Float round_to_int(Float x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// x * 2^n for whole n in [-252, 127]; in two halves, so that subnormal results are reached.
  SEESAW_INLINE static Float scale_by_power(Float x, Float n) {
    const __m256i exponent = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    const __m256i rest = _mm256_sub_epi32(exponent, half);
    return _mm256_mul_ps(_mm256_mul_ps(x, power_of_two(half)), power_of_two(rest));
  }

  SEESAW_INLINE static Float load_bf16(const std::uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  SEESAW_INLINE static Float load_f16(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  SEESAW_INLINE static void store_bf16(std::uint16_t* p, Float x) {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i lsb = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff)));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i bits = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits, bits), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }
  SEESAW_INLINE static void store_f16(std::uint16_t* p, Float x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

 private:
  SEESAW_INLINE static Float power_of_two(__m256i exponent) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace
}  // namespace seesaw::cpu
