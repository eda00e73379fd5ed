// bfloat16 products with float32 sums (AVX512_BF16): a word is a pair of bfloat16, multiplied by
// VDPBF16PS two dimensions (or two tokens) at a time.
#pragma once

#include "hardware/cpu/kernels/tile_task.h"
#include "hardware/cpu/kernels/vec_avx512.h"

namespace seesaw::cpu {
namespace {

struct Bf16Arith {
  using Vec = VecAvx512;
  using Float = __m512;
  using Operand = __m512i;
  static constexpr int kDimsPerWord = 2;
  static constexpr int kElementBytes = 2;
  static constexpr int kDimChunk = 32;
  static constexpr int kBlockTokens = 192;
  static constexpr int kBlockTokensFewRows = 96;
  // VDPBF16PS takes five to six clocks at two a clock: at least 12 accumulators. 24 for the scores
  // leave room for queries and key words; loads are 14 to 24 products there, 10 to 16 in values.
  static constexpr int kParts = 2;
  static constexpr int kScoreQuads = 3;
  static constexpr int kValueRows = 8;
  static constexpr int kValueVecs = 2;

  static bool multiplies(DType /*bfloat16*/, int d_qk, int d_v) {
    return d_qk % (kDimsPerWord * kParts) == 0 && d_v % kDimChunk == 0;
  }

  SEESAW_INLINE static Operand load(const std::uint32_t* words) {
    return _mm512_loadu_si512(words);
  }
  /// kWords words of a key, repeated.
  template <int kWords>
  SEESAW_INLINE static Operand broadcast(const std::byte* words) {
    if constexpr (kWords == 2) {
      long long x;
      __builtin_memcpy(&x, words, 8);
      return _mm512_set1_epi64(x);
    } else {
      int x;
      __builtin_memcpy(&x, words, 4);
      return _mm512_set1_epi32(x);
    }
  }
  SEESAW_INLINE static void keep_in_register(Operand& x) { asm("" : "+v"(x)); }
  SEESAW_INLINE static Float dot(Float acc, Operand a, Operand b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }

  /// Sixteen rows' sums from vectors of (row, word).
  SEESAW_INLINE static Float add_parts(const Float (&acc)[2]) {
    return Vec::add_neighbours(acc[0], acc[1]);
  }

  /// Pairs two tokens' values. Unpacking works within 128-bit lanes, so of 32 dimensions word
  /// vector 0 holds 0-3, 8-11, 16-19, 24-27 and word vector 1 the others: restore_order.
  SEESAW_INLINE static void load_values(const std::byte* key, std::ptrdiff_t stride,
                                        Operand (&words)[2]) {
    const __m512i first = _mm512_loadu_si512(key);
    const __m512i second = _mm512_loadu_si512(key + stride);
    words[0] = _mm512_unpacklo_epi16(first, second);
    words[1] = _mm512_unpackhi_epi16(first, second);
  }

  /// Rounds two tokens' weights to bfloat16 pairs; returns the sum of the rounded weights, so that
  /// what P V adds up and what it is divided by agree.
  SEESAW_INLINE static Float store_weights(std::uint32_t* p, const Float (&weight)[2]) {
    // Lanes of the second token in the upper half, those of the first in the lower.
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(weight[1], weight[0]));
    const __m512i interleave =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i pairs = _mm512_permutexvar_epi16(interleave, halves);
    _mm512_storeu_si512(p, pairs);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
                         _mm512_castsi512_ps(_mm512_and_si512(pairs, upper)));
  }

  /// A row of O from load_values' order into that of V.
  static void restore_order(float* row, int num_elements) {
    const __m512i lower = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
    const __m512i upper =
        _mm512_set_epi32(31, 30, 29, 28, 15, 14, 13, 12, 27, 26, 25, 24, 11, 10, 9, 8);
    for (int i = 0; i < num_elements; i += kDimChunk) {
      const __m512 a = _mm512_loadu_ps(row + i);
      const __m512 b = _mm512_loadu_ps(row + i + 16);
      _mm512_storeu_ps(row + i, _mm512_permutex2var_ps(a, lower, b));
      _mm512_storeu_ps(row + i + 16, _mm512_permutex2var_ps(a, upper, b));
    }
  }

  SEESAW_INLINE static void widen_row(const std::byte* from, DType /*bfloat16*/, int d,
                                      std::byte* to) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(d) * 2);
  }
};

}  // namespace
}  // namespace seesaw::cpu
