#include "hardware/cuda/error.h"

#include <fmt/format.h>

#include <string>

namespace seesaw::cuda {
namespace {

std::string words_of(cudaError_t error) {
  return fmt::format("{} ({})", cudaGetErrorName(error), cudaGetErrorString(error));
}

/// Of the current device; -1 where it does not answer.
int limit_of(cudaDeviceAttr attribute) {
  int ordinal = 0;
  int value = -1;
  if (cudaGetDevice(&ordinal) != cudaSuccess ||
      cudaDeviceGetAttribute(&value, attribute, ordinal) != cudaSuccess) {
    return -1;
  }
  return value;
}

Status device_error(std::string message) {
  cudaGetLastError();  // the Status has it now; the caller's next call must not
  return {StatusCode::kDeviceError, std::move(message)};
}

}  // namespace

Status check_call(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return Status::ok();
  return device_error(fmt::format("{}: failed with {}", call, words_of(error)));
}

Status check_launch(cudaError_t error, const char* kernel, const LaunchShape& shape) {
  if (error == cudaSuccess) return Status::ok();
  return device_error(fmt::format(
      "launch of {}: failed with {}: grid {} x {} x {} (at most {} x {} x {}), {} x {} x {} "
      "threads a block (at most {}), {} bytes of dynamic shared memory (at most {})",
      kernel, words_of(error), shape.grid.x, shape.grid.y, shape.grid.z,
      limit_of(cudaDevAttrMaxGridDimX), limit_of(cudaDevAttrMaxGridDimY),
      limit_of(cudaDevAttrMaxGridDimZ), shape.block.x, shape.block.y, shape.block.z,
      limit_of(cudaDevAttrMaxThreadsPerBlock), shape.shared_bytes,
      limit_of(cudaDevAttrMaxSharedMemoryPerBlockOptin)));
}

}  // namespace seesaw::cuda
