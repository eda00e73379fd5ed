// As src/hardware/sm90/ptx/copy.cuh.
#pragma once

#include <cuda.h>

#include "emulator/machine.h"

namespace seesaw::sm90::ptx {

struct BoxOrigin {
  std::int32_t x[5];
};

__attribute__((always_inline)) inline void copy_box(const CUtensorMap* map, std::uint32_t to,
                                                    const BoxOrigin& from, std::uint32_t barrier) {
  emulator::copy_box(map, to, from.x, barrier);
}
inline void prefetch_map(const CUtensorMap*) {}

__attribute__((always_inline)) inline void copy_16_bytes(std::uint32_t to, const void* from,
                                                         bool is_valid) {
  emulator::copy_bytes(to, from, 16, is_valid ? 16 : 0);
}
__attribute__((always_inline)) inline void copy_4_bytes(std::uint32_t to, const void* from) {
  emulator::copy_bytes(to, from, 4, 4);
}
inline void wait_for_copies() { emulator::wait_for_copies(-1); }
using emulator::commit_copies;
template <int kPending>
void wait_for_copies_but() {
  emulator::wait_for_copies(kPending);
}

}  // namespace seesaw::sm90::ptx
