// Kernels in a row without a gap between them (programmatic dependent launch): a kernel's blocks
// are placed while the one before still runs, and wait on the device until it has ended.
//
// Each kernel that launch_dependent launches calls wait_for_previous_kernel() in every thread
// before it reads or writes memory (but by load_before_wait), and before it leaves: then "the
// previous one has ended" holds for all before it. It calls let_next_kernel_start() only behind
// that wait. So when a kernel's blocks run, only the one right before it may still be running: all
// before that one have ended, and what they wrote may be read at once, by load_before_wait(). That
// is for a kernel that always comes right after one it knows, for memory that this one does not
// write: combine.cu.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/error.h"

namespace seesaw::cuda {

/// Returns when all kernels before this one in the stream have ended and what they wrote is seen.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// From now on the next kernel's blocks may take what this kernel's blocks leave free.
__device__ __forceinline__ void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Loads what the kernel right before this one in the stream does not write; the wait may come
/// later. From L2: nothing that an L1 has kept is taken.
template <typename T>
__device__ __forceinline__ T load_before_wait(const T* from) {
  return __ldcg(from);
}

/// What was found out about a kernel on a device. The code that the driver loaded decides, not the
/// device: the PTX of sm_80 has no wait in it, whatever it was compiled for, and must not be
/// started early.
enum class KernelState : std::uint8_t { kUnknown, kWaits, kDoesNotWait };

namespace internal {

inline Status set_up_kernel(const void* kernel, int shared_bytes, KernelState& state) {
  cudaFuncAttributes attributes{};
  if (Status status =
          check_call(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
      !status.is_ok()) {
    return status;
  }
  constexpr int kSharedBytesWithoutAsking = 48 << 10;
  if (shared_bytes > kSharedBytesWithoutAsking) {
    if (Status status = check_call(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
            "cudaFuncSetAttribute(MaxDynamicSharedMemorySize)");
        !status.is_ok()) {
      return status;
    }
  }
  state = attributes.ptxVersion >= 90 ? KernelState::kWaits : KernelState::kDoesNotWait;
  return Status::ok();
}

template <auto kKernel, typename... Args>
cudaError_t launch(KernelState state, const LaunchShape& shape, StreamHandle stream,
                   const Args&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = static_cast<std::size_t>(shape.shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = state == KernelState::kWaits ? 1 : 0;
  return cudaLaunchKernelEx(&config, kKernel, args...);
}

}  // namespace internal

/// Launches kKernel, a function that is always launched with the same number of bytes of dynamic
/// shared memory, on the current device.
template <auto kKernel, typename... Args>
Status launch_dependent(const char* name, const LaunchShape& shape, StreamHandle stream,
                        const Args&... args) {
  static std::array<std::atomic<KernelState>, 64> states{};  // by ordinal
  int ordinal = 0;
  if (Status status = check_call(cudaGetDevice(&ordinal), "cudaGetDevice"); !status.is_ok()) {
    return status;
  }
  const auto set_up = [&](KernelState& state) {
    return internal::set_up_kernel(reinterpret_cast<const void*>(kKernel), shape.shared_bytes,
                                   state);
  };
  const auto idx = static_cast<std::size_t>(ordinal);
  KernelState state =
      idx < states.size() ? states[idx].load(std::memory_order_relaxed) : KernelState::kUnknown;
  const bool is_remembered = state != KernelState::kUnknown;
  if (!is_remembered) {
    if (Status status = set_up(state); !status.is_ok()) return status;
    if (idx < states.size()) states[idx].store(state, std::memory_order_relaxed);
  }
  cudaError_t error = internal::launch<kKernel>(state, shape, stream, args...);
  // cudaDeviceReset by the caller undoes what set_up did.
  if (error != cudaSuccess && is_remembered && set_up(state).is_ok()) {
    cudaGetLastError();  // of the first launch
    error = internal::launch<kKernel>(state, shape, stream, args...);
  }
  return check_launch(error, name, shape);
}

/// Launches kKernel, which need not call wait_for_previous_kernel(): it starts when all before it
/// in the stream have ended. On the current device.
template <auto kKernel, typename... Args>
Status launch_after_previous(const char* name, const LaunchShape& shape, StreamHandle stream,
                             const Args&... args) {
  return check_launch(internal::launch<kKernel>(KernelState::kDoesNotWait, shape, stream, args...),
                      name, shape);
}

}  // namespace seesaw::cuda
