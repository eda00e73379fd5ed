// Conversions between the float types, without a branch, so that the compiler makes vectors of
// them; seesaw/types/dtype.h explains the same arithmetic one value at a time.
#include <bit>
#include <cstring>

#include "hardware/cpu/kv_copy.h"

#if defined(__x86_64__)
#define SEESAW_TARGET_AVX2 __attribute__((target("avx2")))
#else
#define SEESAW_TARGET_AVX2
#endif
#define SEESAW_ALWAYS_INLINE inline __attribute__((always_inline))

namespace seesaw::cpu {
namespace {

// The bits of the float32 of equal value.
SEESAW_ALWAYS_INLINE std::uint32_t widened(float x) { return std::bit_cast<std::uint32_t>(x); }

SEESAW_ALWAYS_INLINE std::uint32_t widened(BFloat16 x) { return std::uint32_t{x.bits} << 16; }

SEESAW_ALWAYS_INLINE std::uint32_t widened(Float16 x) {
  constexpr std::uint32_t kBiasDifference = 112u << 23;
  constexpr std::uint32_t kSmallestNormal = 113u << 23;  // 2^-14
  const std::uint32_t sign = (x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (x.bits & 0x7fffu) << 13;
  const std::uint32_t normal = magnitude + kBiasDifference;
  const std::uint32_t not_finite = normal + kBiasDifference;
  // 2^-14 + m * 2^-24, less 2^-14: exact.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(
      std::bit_cast<float>(magnitude + kSmallestNormal) - std::bit_cast<float>(kSmallestNormal));
  const std::uint32_t at_least_normal = magnitude >= (31u << 23) ? not_finite : normal;
  return sign | (magnitude < (1u << 23) ? subnormal : at_least_normal);
}

// Rounds the float32 of these bits.
SEESAW_ALWAYS_INLINE void narrow(std::uint32_t bits, float& to) { to = std::bit_cast<float>(bits); }

SEESAW_ALWAYS_INLINE void narrow(std::uint32_t bits, BFloat16& to) {
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (bits >> 16) | 0x40u;
  to.bits = static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

SEESAW_ALWAYS_INLINE void narrow(std::uint32_t bits, Float16& to) {
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  // Adding 0.5 leaves bits from 2^-24 on: float32 arithmetic rounds there.
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const std::uint32_t number = magnitude >= 0x477ff000u ? 0x7c00u : finite;
  to.bits = static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000u ? 0x7e00u : number));
}

template <typename From, typename To>
SEESAW_ALWAYS_INLINE void convert_all(const void* from, void* to, std::int64_t num_elements) {
  const From* __restrict source = static_cast<const From*>(from);
  To* __restrict target = static_cast<To*>(to);
  for (std::int64_t i = 0; i < num_elements; ++i) narrow(widened(source[i]), target[i]);
}

template <typename From, typename To>
void convert_on_any(const void* from, void* to, std::int64_t num_elements) {
  convert_all<From, To>(from, to, num_elements);
}

template <typename From, typename To>
SEESAW_TARGET_AVX2 void convert_on_avx2(const void* from, void* to, std::int64_t num_elements) {
  convert_all<From, To>(from, to, num_elements);
}

template <std::size_t kElementBytes>
void copy_bits(const void* from, void* to, std::int64_t num_elements) {
  if (num_elements == 0) return;  // the pointers may be null, which memcpy must not be given
  std::memcpy(to, from, static_cast<std::size_t>(num_elements) * kElementBytes);
}

template <typename From, typename To>
ElementConverter choose(CpuIsa isa) {
  return isa >= CpuIsa::kAvx2 ? convert_on_avx2<From, To> : convert_on_any<From, To>;
}

template <typename From>
ElementConverter choose_to(DType to, CpuIsa isa) {
  switch (to) {
    case DType::kBFloat16:
      return choose<From, BFloat16>(isa);
    case DType::kFloat16:
      return choose<From, Float16>(isa);
    default:
      return choose<From, float>(isa);
  }
}

}  // namespace

ElementConverter element_converter(DType from, DType to, CpuIsa isa) {
  if (from == to) return from == DType::kFloat32 ? copy_bits<4> : copy_bits<2>;
  switch (from) {
    case DType::kBFloat16:
      return choose_to<BFloat16>(to, isa);
    case DType::kFloat16:
      return choose_to<Float16>(to, isa);
    default:
      return choose_to<float>(to, isa);
  }
}

}  // namespace seesaw::cpu
