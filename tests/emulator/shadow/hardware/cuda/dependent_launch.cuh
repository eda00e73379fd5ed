// As src/hardware/cuda/dependent_launch.cuh; the emulator runs the kernel at once.
#pragma once

#include <cuda_runtime.h>

#include "emulator/machine.h"
#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/error.h"

namespace seesaw::cuda {

inline void wait_for_previous_kernel() { emulator::wait_for_previous_kernel(); }
inline void let_next_kernel_start() { emulator::let_next_kernel_start(); }
template <typename T>
T load_before_wait(const T* from) {
  T loaded;
  emulator::load_before_wait(from, &loaded, sizeof(T));
  return loaded;
}

template <auto kKernel, typename... Args>
Status launch_dependent(const char* name, const LaunchShape& shape, StreamHandle,
                        const Args&... args) {
  const emulator::Launch launch{.name = name,
                                .grid = {shape.grid.x, shape.grid.y, shape.grid.z},
                                .block = {shape.block.x, shape.block.y, shape.block.z},
                                .shared_bytes = static_cast<std::size_t>(shape.shared_bytes)};
  emulator::enqueue([=] { emulator::run(launch, [&] { kKernel(args...); }); });
  return Status::ok();
}

template <auto kKernel, typename... Args>
Status launch_after_previous(const char* name, const LaunchShape& shape, StreamHandle stream,
                             const Args&... args) {
  constexpr auto kRun = [](const Args&... given) {
    wait_for_previous_kernel();
    kKernel(given...);
  };
  return launch_dependent<kRun>(name, shape, stream, args...);
}

}  // namespace seesaw::cuda
