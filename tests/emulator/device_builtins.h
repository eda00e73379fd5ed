// CUDA C++ for a compiler that does not know it: included before every source that is compiled for
// the emulator.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulator/machine.h"

struct emulator_index {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};
// Of the thread that runs now.
extern emulator_index threadIdx;
extern emulator_index blockIdx;
extern emulator_index blockDim;
extern emulator_index gridDim;

// One for all blocks of a launch, which the machine saves and restores.
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ thread_local

inline std::uint64_t emulator_bits(const void* value, std::size_t size) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, value, size);
  return bits;
}
/// The lane's value in all of the warp that `from` tells; the own one where there is none.
template <typename T>
T emulator_shuffle(const char* what, T value, int from) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  const std::uint64_t* const values =
      seesaw::emulator::exchange(what, emulator_bits(&value, sizeof(T)));
  if (from < 0 || from > 31) return value;
  T result;
  std::memcpy(&result, values + from, sizeof(T));
  return result;
}
inline int emulator_lane() { return static_cast<int>(seesaw::emulator::lane_id()); }

template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  return emulator_shuffle("__shfl_sync", value, lane & 31);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulator_shuffle("__shfl_xor_sync", value, emulator_lane() ^ mask);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, int delta) {
  return emulator_shuffle("__shfl_up_sync", value, emulator_lane() - delta);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, int delta) {
  return emulator_shuffle("__shfl_down_sync", value, emulator_lane() + delta);
}
inline unsigned __ballot_sync(unsigned, bool predicate) {
  const std::uint64_t* const values = seesaw::emulator::exchange("__ballot_sync", predicate);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) bits |= (values[lane] != 0 ? 1u : 0u) << lane;
  return bits;
}
inline bool __any_sync(unsigned mask, bool predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __reduce_add_sync(unsigned, int value) {
  const std::uint64_t* const values =
      seesaw::emulator::exchange("__reduce_add_sync", emulator_bits(&value, sizeof(value)));
  int sum = 0;
  for (int lane = 0; lane < 32; ++lane) sum += static_cast<int>(values[lane]);
  return sum;
}
inline void __syncwarp() { seesaw::emulator::sync_warp(); }
inline void __syncthreads() { seesaw::emulator::sync_threads(false); }
inline int __syncthreads_count(bool predicate) { return seesaw::emulator::sync_threads(predicate); }

inline std::size_t __cvta_generic_to_shared(const void* pointer) {
  return seesaw::emulator::shared_address(pointer);
}

inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
template <typename T>
T __ldcg(const T* from) {
  return *from;
}
/// Not noted: atomic operations do not race with each other.
template <typename T>
[[gnu::noinline, gnu::no_sanitize("thread")]] T atomicMin(T* at, T value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}
template <typename A, typename B>
std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <typename A, typename B>
std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}
