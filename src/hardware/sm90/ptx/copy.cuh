// Copies from global to shared memory: the bulk tensor engine and 16 bytes a thread. One
// instruction a function. PTX ISA, "cp.async.bulk.tensor" and "cp.async".
#pragma once

#include <cuda.h>

#include <cstdint>

namespace seesaw::sm90::ptx {

/// Coordinates of a box, the innermost first.
struct BoxOrigin {
  std::int32_t x[5];
};

/// Copies the map's box; its bytes count towards `barrier`.
__device__ __forceinline__ void copy_box(const CUtensorMap* map, std::uint32_t to,
                                         const BoxOrigin& from, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4, %5, %6}], [%7];" ::"r"(to),
      "l"(map), "r"(from.x[0]), "r"(from.x[1]), "r"(from.x[2]), "r"(from.x[3]), "r"(from.x[4]),
      "r"(barrier)
      : "memory");
}

__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// 16 bytes, or zeros where `is_valid` is false (`from` is not read then).
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, bool is_valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(is_valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void copy_4_bytes(std::uint32_t to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to),
               "l"(__cvta_generic_to_global(from))
               : "memory");
}

/// This thread's copies of 4 and 16 bytes are done.
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

/// The thread's copies since the last time are a group.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits for all of the thread's groups but the last kPending.
template <int kPending>
__device__ __forceinline__ void wait_for_copies_but() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace seesaw::sm90::ptx
