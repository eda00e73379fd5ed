#include "hardware/cuda/current_device.h"

#include <fmt/format.h>

#include "hardware/cuda/error.h"

namespace seesaw::cuda {

CurrentDevice::CurrentDevice(int ordinal) {
  int before = 0;
  status_ = check_call(cudaGetDevice(&before), "cudaGetDevice");
  if (status_.is_ok() && before != ordinal) {
    status_ = check_call(cudaSetDevice(ordinal), "cudaSetDevice");
    if (status_.is_ok()) previous_ = before;
  }
  if (status_.is_ok()) return;
  status_ = {StatusCode::kDeviceError,
             fmt::format("executor.cuda_ordinal: is {}, must be a device that the CUDA driver "
                         "shows: {}",
                         ordinal, status_.message())};
}

CurrentDevice::~CurrentDevice() {
  if (previous_ >= 0 && cudaSetDevice(previous_) != cudaSuccess) cudaGetLastError();
}

}  // namespace seesaw::cuda
