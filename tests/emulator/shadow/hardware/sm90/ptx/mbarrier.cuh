// As src/hardware/sm90/ptx/mbarrier.cuh.
#pragma once

#include "emulator/machine.h"

namespace seesaw::sm90::ptx {

using emulator::arrive;
using emulator::arrive_and_expect;
using emulator::fence_async_proxy;
using emulator::fence_barrier_init;
using emulator::init_barrier;
using emulator::wait;

__attribute__((always_inline)) inline void sync_warpgroup(int named_barrier) {
  emulator::sync_named(named_barrier, 128);
}
__attribute__((always_inline)) inline void sync_two_warpgroups(int named_barrier) {
  emulator::sync_named(named_barrier, 256);
}
__attribute__((always_inline)) inline void sync_block(int named_barrier) {
  emulator::sync_named(named_barrier, 384);
}
__attribute__((always_inline)) inline void arrive_block(int named_barrier) {
  emulator::arrive_named(named_barrier, 384);
}

}  // namespace seesaw::sm90::ptx
