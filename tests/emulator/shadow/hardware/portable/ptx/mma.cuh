// As src/hardware/portable/ptx/mma.cuh.
#pragma once

#include <cmath>

#include "emulator/device_builtins.h"
#include "emulator/elements.h"

namespace seesaw::portable {

__attribute__((always_inline)) inline std::uint32_t shared_address(const void* pointer) {
  return emulator::shared_address(pointer);
}
using emulator::load_matrices;
using emulator::load_transposed;
using emulator::pack;

template <typename Element>
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulator::multiply_add(c, a, {b0, b1}, &emulator::to_float<Element>);
}

template <typename Element>
float2 unpack(std::uint32_t pair) {
  return {emulator::to_float<Element>(static_cast<std::uint16_t>(pair)),
          emulator::to_float<Element>(static_cast<std::uint16_t>(pair >> 16))};
}

inline float exp2_approx(float x) { return std::exp2(x); }

}  // namespace seesaw::portable
