// As src/hardware/sm90/ptx/arithmetic.cuh.
#pragma once

#include <cmath>

#include "emulator/elements.h"

namespace seesaw::sm90::ptx {

inline float exp2_approx(float x) {
  constexpr float kLeastNormal = 0x1p-126f;
  const float y = std::exp2(std::abs(x) < kLeastNormal ? 0 : x);
  return y < kLeastNormal ? 0 : y;
}

using emulator::pack;

}  // namespace seesaw::sm90::ptx
