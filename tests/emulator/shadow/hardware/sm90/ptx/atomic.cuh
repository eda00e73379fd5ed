// As src/hardware/sm90/ptx/atomic.cuh.
#pragma once

#include "emulator/machine.h"

namespace seesaw::sm90::ptx {

using emulator::count_around;
using emulator::load_acquire;

}  // namespace seesaw::sm90::ptx
