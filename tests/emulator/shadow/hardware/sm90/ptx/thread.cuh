// As src/hardware/sm90/ptx/thread.cuh.
#pragma once

#include "emulator/device_builtins.h"

namespace seesaw::sm90::ptx {

inline int thread() { return static_cast<int>(threadIdx.x); }
template <int kCount>
void take_registers() {}
template <int kCount>
void leave_registers() {}

}  // namespace seesaw::sm90::ptx
