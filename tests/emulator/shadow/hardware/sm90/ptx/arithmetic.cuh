// As src/hardware/sm90/ptx/arithmetic.cuh.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace seesaw::sm90::ptx {

inline float exp2_approx(float x) {
  constexpr float kLeastNormal = 0x1p-126f;
  const float y = std::exp2(std::abs(x) < kLeastNormal ? 0 : x);
  return y < kLeastNormal ? 0 : y;
}

template <typename Element>
std::uint32_t pack(float low, float high) {
  const Element pair[] = {Element(low), Element(high)};  // rounds to the nearest even
  return std::bit_cast<std::uint16_t>(pair[0]) |
         std::uint32_t{std::bit_cast<std::uint16_t>(pair[1])} << 16;
}

}  // namespace seesaw::sm90::ptx
