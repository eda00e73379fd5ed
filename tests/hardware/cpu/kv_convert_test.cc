#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "hardware/cpu/kv_copy.h"
#include "seesaw/device.h"
#include "support/seed.h"

namespace seesaw::cpu {
namespace {

using seesaw::testing::make_rng;
using seesaw::testing::Rng;
using seesaw::testing::uniform;

constexpr DType kTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

std::vector<CpuIsa> isas() {
  std::vector<CpuIsa> supported = {CpuIsa::kGeneric};
  if (cpu_supports(CpuIsa::kAvx2)) supported.push_back(CpuIsa::kAvx2);
  return supported;
}

// A 16-bit format as the standard defines it, for an oracle that shares no code with the library.
struct Format {
  int mantissa_bits;
  int min_exponent;  // of the smallest normal number
  int max_exponent;
};
constexpr Format kBFloat16Format = {7, -126, 127};
constexpr Format kFloat16Format = {10, -14, 15};

// The representable number nearest to x, ties to even: x is a whole number of quanta then.
double nearest(double x, const Format& format) {
  if (std::isnan(x) || std::isinf(x) || x == 0) return x;
  const int exponent = std::max(std::ilogb(x), format.min_exponent);
  const double quantum = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double rounded = std::nearbyint(x / quantum) * quantum;
  const double first_too_large = std::ldexp(1.0, format.max_exponent + 1);
  return std::abs(rounded) >= first_too_large
             ? std::copysign(std::numeric_limits<double>::infinity(), x)
             : rounded;
}

// The number that 16 bits stand for.
double value_of(std::uint16_t bits, const Format& format) {
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const int biased = (bits & 0x7fff) >> format.mantissa_bits;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (biased == (0x7fff >> format.mantissa_bits)) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  const double quantum = std::ldexp(
      1.0, std::max(biased + format.min_exponent - 1, format.min_exponent) - format.mantissa_bits);
  return sign * (mantissa + (biased > 0 ? 1 << format.mantissa_bits : 0)) * quantum;
}

void expect_same(double actual, double expected, float source) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << std::hexfloat << source;
    return;
  }
  ASSERT_EQ(actual, expected) << std::hexfloat << source;
  ASSERT_EQ(std::signbit(actual), std::signbit(expected)) << std::hexfloat << source;
}

// Every number of both formats, the midpoints between neighbours and what lies one bit beside
// them, the ends of every range, and random bits.
std::vector<float> floats_that_matter(Rng& rng) {
  std::vector<float> values = {0.0f,
                               -0.0f,
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::lowest(),
                               std::numeric_limits<float>::denorm_min(),
                               std::numeric_limits<float>::min(),
                               65504.0f,
                               65519.996f,
                               65520.0f,
                               -65520.0f};
  const auto add_bits = [&](std::uint32_t bits) { values.push_back(std::bit_cast<float>(bits)); };
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      add_bits(upper << 16 | lower);
    }
  }
  for (std::uint32_t bits = 0; bits < 0xffffu; ++bits) {
    const double here = value_of(static_cast<std::uint16_t>(bits), kFloat16Format);
    const double next = value_of(static_cast<std::uint16_t>(bits + 1), kFloat16Format);
    if (!std::isfinite(here) || !std::isfinite(next)) continue;
    const auto middle = static_cast<float>((here + next) / 2);
    values.push_back(static_cast<float>(here));
    values.push_back(middle);
    values.push_back(std::nextafterf(middle, std::numeric_limits<float>::infinity()));
    values.push_back(std::nextafterf(middle, -std::numeric_limits<float>::infinity()));
  }
  for (int i = 0; i < 500'000; ++i) add_bits(static_cast<std::uint32_t>(rng()));
  return values;
}

template <typename To>
std::vector<To> converted(const void* from, DType from_type, DType to_type, std::size_t count,
                          CpuIsa isa) {
  std::vector<To> to(count);
  element_converter(from_type, to_type, isa)(from, to.data(), static_cast<std::int64_t>(count));
  return to;
}

TEST(KvConvert, NarrowingRoundsToTheNearestTiesToEven) {
  Rng rng = make_rng();
  const std::vector<float> values = floats_that_matter(rng);
  for (const CpuIsa isa : isas()) {
    const auto bfloats =
        converted<BFloat16>(values.data(), DType::kFloat32, DType::kBFloat16, values.size(), isa);
    const auto halves =
        converted<Float16>(values.data(), DType::kFloat32, DType::kFloat16, values.size(), isa);
    for (std::size_t i = 0; i < values.size(); ++i) {
      expect_same(value_of(bfloats[i].bits, kBFloat16Format), nearest(values[i], kBFloat16Format),
                  values[i]);
      expect_same(value_of(halves[i].bits, kFloat16Format), nearest(values[i], kFloat16Format),
                  values[i]);
      // Which NaN, too: both implementations give the same bits.
      ASSERT_EQ(bfloats[i].bits, BFloat16(values[i]).bits) << std::hexfloat << values[i];
      ASSERT_EQ(halves[i].bits, Float16(values[i]).bits) << std::hexfloat << values[i];
    }
    ASSERT_FALSE(HasFailure()) << to_string(isa);
  }
}

TEST(KvConvert, AllPairsAgreeOnEvery16BitNumber) {
  std::vector<Float16> halves;
  std::vector<BFloat16> bfloats;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    halves.push_back(Float16::from_bits(static_cast<std::uint16_t>(bits)));
    bfloats.push_back(BFloat16::from_bits(static_cast<std::uint16_t>(bits)));
  }
  for (const CpuIsa isa : isas()) {
    const auto from_half =
        converted<float>(halves.data(), DType::kFloat16, DType::kFloat32, 65536, isa);
    const auto from_bfloat =
        converted<float>(bfloats.data(), DType::kBFloat16, DType::kFloat32, 65536, isa);
    const auto half_to_bfloat =
        converted<BFloat16>(halves.data(), DType::kFloat16, DType::kBFloat16, 65536, isa);
    const auto bfloat_to_half =
        converted<Float16>(bfloats.data(), DType::kBFloat16, DType::kFloat16, 65536, isa);
    const auto half_again =
        converted<Float16>(from_half.data(), DType::kFloat32, DType::kFloat16, 65536, isa);
    const auto bfloat_again =
        converted<BFloat16>(from_bfloat.data(), DType::kFloat32, DType::kBFloat16, 65536, isa);
    for (std::size_t i = 0; i < 65536; ++i) {
      const double half = value_of(halves[i].bits, kFloat16Format);
      const double bfloat = value_of(bfloats[i].bits, kBFloat16Format);
      expect_same(from_half[i], half, from_half[i]);
      expect_same(from_bfloat[i], bfloat, from_bfloat[i]);
      expect_same(value_of(half_to_bfloat[i].bits, kBFloat16Format), nearest(half, kBFloat16Format),
                  from_half[i]);
      expect_same(value_of(bfloat_to_half[i].bits, kFloat16Format), nearest(bfloat, kFloat16Format),
                  from_bfloat[i]);
      if (!std::isnan(half)) {
        ASSERT_EQ(half_again[i].bits, i);
      }
      if (!std::isnan(bfloat)) {
        ASSERT_EQ(bfloat_again[i].bits, i);
      }
      ASSERT_EQ(std::bit_cast<std::uint32_t>(from_half[i]),
                std::bit_cast<std::uint32_t>(static_cast<float>(halves[i])));
      ASSERT_EQ(std::bit_cast<std::uint32_t>(from_bfloat[i]),
                std::bit_cast<std::uint32_t>(static_cast<float>(bfloats[i])));
    }
    ASSERT_FALSE(HasFailure()) << to_string(isa);
  }
}

// Lengths around the vectors', at every alignment an element may have; what lies beside stays.
TEST(KvConvert, WritesExactlyItsElements) {
  Rng rng = make_rng();
  constexpr std::byte kGuard{0xa5};
  for (const DType from : kTypes) {
    for (const DType to : kTypes) {
      for (const CpuIsa isa : isas()) {
        for (std::int64_t count = 0; count < 70; ++count) {
          const std::size_t from_bytes = size_bytes(from);
          const std::size_t to_bytes = size_bytes(to);
          const auto shift = static_cast<std::size_t>(uniform(rng, 0, 15));
          const auto n = static_cast<std::size_t>(count);
          // Exactly as long as what may be read, for an address sanitizer.
          std::vector<std::byte> source((shift + n) * from_bytes);
          for (std::byte& b : source) b = static_cast<std::byte>(rng());
          std::vector<std::byte> target((shift + n + 16) * to_bytes, kGuard);
          const ElementConverter convert = element_converter(from, to, isa);
          convert(source.data() + shift * from_bytes, target.data() + shift * to_bytes, count);
          for (std::size_t i = 0; i < target.size(); ++i) {
            const bool is_inside = i >= shift * to_bytes && i < (shift + n) * to_bytes;
            if (!is_inside) {
              ASSERT_EQ(target[i], kGuard);
            }
          }
          // Element by element it is the same.
          for (std::size_t i = shift; i < shift + n; ++i) {
            std::byte one[4];
            convert(source.data() + i * from_bytes, one, 1);
            ASSERT_EQ(std::memcmp(one, target.data() + i * to_bytes, to_bytes), 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace seesaw::cpu
