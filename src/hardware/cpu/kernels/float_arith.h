// float32 products: a word is one float32. Any cache type, widened exactly a block at a time.
#pragma once

#include "hardware/cpu/kernels/simd.h"
#include "hardware/cpu/kernels/tile_task.h"

namespace seesaw::cpu {
namespace {

/// Register blocking of one instruction set: accumulators of a product and what they hold.
struct Blocking {
  int parts;        // vectors that a group of rows is spread over: 1 or 2
  int score_quads;  // quads of keys a pass: 4 * parts * score_quads accumulators
  int value_rows;   // rows of O
  int value_vecs;   // vectors of O's columns
  int block_tokens;
};

template <typename VecType, Blocking kBlocking>
struct FloatArith {
  using Vec = VecType;
  using Float = typename Vec::Float;
  using Operand = Float;
  static constexpr int kDimsPerWord = 1;
  static constexpr int kElementBytes = 4;
  static constexpr int kDimChunk = Vec::kLanes;
  static constexpr int kBlockTokens = kBlocking.block_tokens;
  static constexpr int kBlockTokensFewRows = kBlocking.block_tokens;
  static constexpr int kParts = kBlocking.parts;
  static constexpr int kScoreQuads = kBlocking.score_quads;
  static constexpr int kValueRows = kBlocking.value_rows;
  static constexpr int kValueVecs = kBlocking.value_vecs;

  static bool multiplies(DType dtype, int d_qk, int d_v) {
    return dtype == DType::kFloat32 && d_qk % kParts == 0 && d_v % Vec::kLanes == 0;
  }

  SEESAW_INLINE static Operand load(const std::uint32_t* words) {
    return Vec::load(reinterpret_cast<const float*>(words));
  }
  /// kWords words of a key, repeated.
  template <int kWords>
  SEESAW_INLINE static Operand broadcast(const std::byte* words) {
    if constexpr (kWords == 2) {
      return Vec::broadcast_pair(words);
    } else {
      float x;
      __builtin_memcpy(&x, words, 4);
      return Vec::broadcast(x);
    }
  }
  SEESAW_INLINE static void keep_in_register(Operand& x) {
#if defined(__AVX512F__)
    asm("" : "+v"(x));
#elif defined(__x86_64__)
    asm("" : "+x"(x));
#else
    (void)x;
#endif
  }
  SEESAW_INLINE static Float dot(Float acc, Operand a, Operand b) { return Vec::fma(a, b, acc); }

  SEESAW_INLINE static Float add_parts(const Float (&acc)[kParts]) {
    if constexpr (kParts == 2) {
      return Vec::add_neighbours(acc[0], acc[1]);
    } else {
      return acc[0];
    }
  }

  template <int kVecs>
  SEESAW_INLINE static void load_values(const std::byte* key, std::ptrdiff_t /*stride*/,
                                        Operand (&words)[kVecs]) {
    unroll<kVecs>([&](auto v) SEESAW_INLINE_LAMBDA {
      words[v] = Vec::load(reinterpret_cast<const float*>(key) + v * Vec::kLanes);
    });
  }

  /// Stores the weights of one token; returns their sum, which is themselves.
  SEESAW_INLINE static Float store_weights(std::uint32_t* p, const Float (&weight)[1]) {
    Vec::store(reinterpret_cast<float*>(p), weight[0]);
    return weight[0];
  }

  static void restore_order(float* /*row*/, int /*num_elements*/) {}

  /// to[0 .. d) = from[0 .. d) as float32.
  SEESAW_INLINE static void widen_row(const std::byte* from, DType dtype, int d, std::byte* to) {
    auto* out = reinterpret_cast<float*>(to);
    if (dtype == DType::kFloat32) {
      __builtin_memcpy(out, from, static_cast<std::size_t>(d) * 4);
      return;
    }
    const auto* in = reinterpret_cast<const std::uint16_t*>(from);
    const auto widen = [dtype](const std::uint16_t* x) SEESAW_INLINE_LAMBDA {
      return dtype == DType::kBFloat16 ? Vec::load_bf16(x) : Vec::load_f16(x);
    };
    int i = 0;
    for (; i + Vec::kLanes <= d; i += Vec::kLanes) Vec::store(out + i, widen(in + i));
    if (i == d) return;
    alignas(64) std::uint16_t tail[Vec::kLanes] = {};
    alignas(64) float widened[Vec::kLanes];
    __builtin_memcpy(tail, in + i, static_cast<std::size_t>(d - i) * 2);
    Vec::store(widened, widen(tail));
    __builtin_memcpy(out + i, widened, static_cast<std::size_t>(d - i) * 4);
  }
};

}  // namespace
}  // namespace seesaw::cpu
