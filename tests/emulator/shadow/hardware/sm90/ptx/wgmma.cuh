// As src/hardware/sm90/ptx/wgmma.cuh.
#pragma once

#include "emulator/elements.h"
#include "emulator/machine.h"
#include "hardware/sm90/ptx/operand.cuh"

namespace seesaw::sm90::ptx {

template <typename Element>
__attribute__((always_inline)) inline void multiply_scores(const std::uint32_t* a, const Operand& b,
                                                           float (&s)[32], bool adds) {
  emulator::multiply({.to_float = &emulator::to_float<Element>,
                      .a_registers = a,
                      .b = {b.low, b.high},
                      .d = s,
                      .n = 64,
                      .adds = adds});
}

template <typename Element>
__attribute__((always_inline)) inline void multiply_scores(const Operand& a, const Operand& b,
                                                           float (&s)[32], bool adds) {
  emulator::multiply({.to_float = &emulator::to_float<Element>,
                      .a_shared = {a.low, a.high},
                      .b = {b.low, b.high},
                      .d = s,
                      .n = 64,
                      .adds = adds});
}

template <typename Element, int kCount>
__attribute__((always_inline)) inline void multiply_values(const Operand& a, const Operand& b,
                                                           float (&o)[kCount], bool adds) {
  emulator::multiply({.to_float = &emulator::to_float<Element>,
                      .a_shared = {a.low, a.high},
                      .b = {b.low, b.high},
                      .b_along_n = true,
                      .d = o,
                      .n = 2 * kCount,
                      .adds = adds});
}

using emulator::begin_products;
using emulator::commit_products;

template <int kCount>
void finish_products(float (&)[kCount]) {
  emulator::finish_products();
}

}  // namespace seesaw::sm90::ptx
