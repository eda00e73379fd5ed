// Copies from global to shared memory that pass no register (cp.async), and barriers of some warps.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace seesaw::portable {

/// Copies num_bytes (0 to 16) from `from`, which is 16-byte aligned, and fills up to 16 with zeros;
/// with 0 nothing is read. Not kept in L1.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, int num_bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(num_bytes)
               : "memory");
}

/// Waits for all copies of this thread.
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

/// Waits for the `count` threads (whole warps) that call it with this idx, from 1 to 15.
__device__ __forceinline__ void barrier(int idx, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(idx), "r"(count) : "memory");
}

}  // namespace seesaw::portable
