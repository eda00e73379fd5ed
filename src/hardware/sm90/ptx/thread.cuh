// The thread itself: its number and its registers. One instruction a function.
#pragma once

namespace seesaw::sm90::ptx {

/// threadIdx.x, read anew: nothing that is made of it is kept from before, in registers that are
/// short.
__device__ __forceinline__ int thread() {
  int x;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
  return x;
}

/// The warpgroup's threads have kCount registers from now on; more only once others gave theirs.
template <int kCount>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ __forceinline__ void leave_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

}  // namespace seesaw::sm90::ptx
