// As src/hardware/sm90/ptx/shared.cuh.
#pragma once

#include <cuda_runtime.h>

#include "emulator/machine.h"

namespace seesaw::sm90::ptx {

template <typename T>
__attribute__((always_inline)) inline T load_as(std::uint32_t from) {
  T value;
  emulator::read_shared(from, &value, sizeof(value));
  return value;
}
template <typename T>
__attribute__((always_inline)) inline void store(std::uint32_t to, T value) {
  static_assert(sizeof(T) >= 4);
  emulator::write_shared(to, &value, sizeof(value));
}
__attribute__((always_inline)) inline void store(std::uint32_t to, bool value) {
  const std::int32_t word = value;
  emulator::write_shared(to, &word, sizeof(word));
}
__attribute__((always_inline)) inline void store(std::uint32_t to, float x, float y) {
  const float pair[] = {x, y};
  emulator::write_shared(to, pair, sizeof(pair));
}
__attribute__((always_inline)) inline std::int32_t load(std::uint32_t from) {
  return load_as<std::int32_t>(from);
}
__attribute__((always_inline)) inline float load_float(std::uint32_t from) {
  return load_as<float>(from);
}
__attribute__((always_inline)) inline std::int64_t load_long(std::uint32_t from) {
  return load_as<std::int64_t>(from);
}
__attribute__((always_inline)) inline float4 load_quad(std::uint32_t from) {
  return load_as<float4>(from);
}

using emulator::load_matrices;
using emulator::store_matrices;

}  // namespace seesaw::sm90::ptx
