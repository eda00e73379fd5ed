// As src/hardware/portable/ptx/copy.cuh.
#pragma once

#include "emulator/machine.h"

namespace seesaw::portable {

__attribute__((always_inline)) inline void copy_16_bytes(std::uint32_t to, const void* from,
                                                         int num_bytes) {
  emulator::copy_bytes(to, from, 16, static_cast<std::size_t>(num_bytes));
}
__attribute__((always_inline)) inline void wait_for_copies() { emulator::wait_for_copies(-1); }
__attribute__((always_inline)) inline void barrier(int idx, int count) {
  emulator::sync_named(idx, count);
}

}  // namespace seesaw::portable
