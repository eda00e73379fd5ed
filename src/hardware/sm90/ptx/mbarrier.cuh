// Barriers in shared memory that count arrivals and bytes. One instruction a function; addresses
// are 32-bit shared-memory addresses. PTX ISA, "mbarrier".
#pragma once

#include <cstdint>

namespace seesaw::sm90::ptx {

__device__ __forceinline__ void init_barrier(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

/// Makes initialized barriers visible to the copy engine.
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// An arrival that also waits for `num_bytes` of copies; 0 is allowed.
__device__ __forceinline__ void arrive_and_expect(std::uint32_t barrier, int num_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(num_bytes)
               : "memory");
}

/// Returns once the phase of that parity has ended. The default scope, the block: waiting with
/// acquire.cluster was measured a fifth slower.
__device__ __forceinline__ void wait(std::uint32_t barrier, int parity) {
  asm volatile(
      "{ .reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// Ordinary writes to shared memory before it are seen by products and copies after it.
__device__ __forceinline__ void fence_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// All 128 threads of a warpgroup; barrier 0 is __syncthreads'.
__device__ __forceinline__ void sync_warpgroup(int named_barrier) {
  asm volatile("bar.sync %0, 128;" ::"r"(named_barrier) : "memory");
}

/// All threads of two warpgroups.
__device__ __forceinline__ void sync_two_warpgroups(int named_barrier) {
  asm volatile("bar.sync %0, 256;" ::"r"(named_barrier) : "memory");
}

/// A barrier that some of the block's three warpgroups come to and the others arrive at.
__device__ __forceinline__ void sync_block(int named_barrier) {
  asm volatile("bar.sync %0, 384;" ::"r"(named_barrier) : "memory");
}
__device__ __forceinline__ void arrive_block(int named_barrier) {
  asm volatile("bar.arrive %0, 384;" ::"r"(named_barrier) : "memory");
}

}  // namespace seesaw::sm90::ptx
