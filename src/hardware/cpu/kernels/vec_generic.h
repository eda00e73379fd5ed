// Four float32 lanes in plain C++ (the compiler's vector extension): any processor.
#pragma once

#include <cstring>

#include "hardware/cpu/kernels/simd.h"
#include "seesaw/types/dtype.h"

namespace seesaw::cpu {
namespace {

struct VecGeneric {
  static constexpr int kLanes = 4;
  typedef float Float __attribute__((vector_size(16)));
  typedef std::int32_t Int __attribute__((vector_size(16)));

  SEESAW_INLINE static Float zero() { return Float{}; }
  SEESAW_INLINE static Float broadcast(float x) { return Float{x, x, x, x}; }
  SEESAW_INLINE static Float load(const float* p) {
    Float x;
    std::memcpy(&x, p, sizeof(x));
    return x;
  }
  SEESAW_INLINE static void store(float* p, Float x) { std::memcpy(p, &x, sizeof(x)); }
  SEESAW_INLINE static Float add(Float a, Float b) { return a + b; }
  SEESAW_INLINE static Float sub(Float a, Float b) { return a - b; }
  SEESAW_INLINE static Float mul(Float a, Float b) { return a * b; }
  /// Fused only where the target fuses by itself.
  SEESAW_INLINE static Float fma(Float a, Float b, Float c) { return a * b + c; }
  /// max, but b where either is NaN.
  SEESAW_INLINE static Float max(Float a, Float b) { return a > b ? a : b; }
  /// x where idx < limit, else -infinity. idx and limit are small whole numbers.
  SEESAW_INLINE static Float keep_below(Float x, float idx, Float limit) {
    return broadcast(idx) < limit ? x : broadcast(-__builtin_inff());
  }
  /// x, but 0 where x is -infinity.
  SEESAW_INLINE static Float zero_if_minus_infinity(Float x) {
    return x == broadcast(-__builtin_inff()) ? zero() : x;
  }
  SEESAW_INLINE static bool all_equal(Float a, Float b) {
    const Int equal = a == b;
    return (equal[0] & equal[1] & equal[2] & equal[3]) != 0;
  }
  /// For |x| < 2^22: adding 1.5 * 2^23 leaves no bits behind the point.
  SEESAW_INLINE static Float round_to_int(Float x) {
    const Float magic = broadcast(12582912.0f);
    return (x + magic) - magic;
  }
  /// x * 2^n for whole n in [-252, 127]; in two halves, so that subnormal results are reached.
  SEESAW_INLINE static Float scale_by_power(Float x, Float n) {
    const Int exponent = __builtin_convertvector(n, Int);
    const Int half = exponent >> 1;
    return x * power_of_two(half) * power_of_two(exponent - half);
  }

  SEESAW_INLINE static Float load_bf16(const std::uint16_t* p) {
    const Int bits = {p[0], p[1], p[2], p[3]};
    return reinterpret_bits<Float>(bits << 16);
  }
  SEESAW_INLINE static Float load_f16(const std::uint16_t* p) {
    Float x;
    for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(Float16::from_bits(p[i]));
    return x;
  }
  SEESAW_INLINE static void store_bf16(std::uint16_t* p, Float x) {
    for (int i = 0; i < kLanes; ++i) p[i] = BFloat16(x[i]).bits;
  }
  SEESAW_INLINE static void store_f16(std::uint16_t* p, Float x) {
    for (int i = 0; i < kLanes; ++i) p[i] = Float16(x[i]).bits;
  }

 private:
  template <typename To, typename From>
  SEESAW_INLINE static To reinterpret_bits(From x) {
    To y;
    std::memcpy(&y, &x, sizeof(y));
    return y;
  }
  SEESAW_INLINE static Float power_of_two(Int exponent) {
    return reinterpret_bits<Float>((exponent + 127) << 23);
  }
};

}  // namespace
}  // namespace seesaw::cpu
