// 16-bit elements as bits, as registers and operands hold them.
#pragma once

#include <bit>
#include <cstdint>

namespace seesaw::emulator {

template <typename Element>
float to_float(std::uint16_t bits) {
  return static_cast<float>(std::bit_cast<Element>(bits));
}

/// Two numbers rounded to the nearest even, `low` in the lower half.
template <typename Element>
std::uint32_t pack(float low, float high) {
  return std::bit_cast<std::uint16_t>(Element(low)) |
         std::uint32_t{std::bit_cast<std::uint16_t>(Element(high))} << 16;
}

}  // namespace seesaw::emulator
