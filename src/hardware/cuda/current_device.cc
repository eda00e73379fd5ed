#include "hardware/cuda/current_device.h"

#include <fmt/format.h>

#include <string>

#include "hardware/cuda/error.h"

namespace seesaw::cuda {
namespace {

/// CUDA's version numbers are 1000 * major + 10 * minor.
std::string version_words(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// Why a device could not be made the current one, where the error alone leaves that open.
std::string why_no_device(cudaError_t error) {
  int driver = 0;  // 0: none is installed, whatever the error is called
  int runtime = 0;
  int num_devices = 0;
  std::string words;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
    words = "this machine has no NVIDIA driver: ";
  } else if (error == cudaErrorInsufficientDriver &&
             cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
    words = fmt::format("the NVIDIA driver serves CUDA up to {}, this build needs {}: ",
                        version_words(driver), version_words(runtime));
  } else if (error == cudaErrorNoDevice) {
    words = "the NVIDIA driver shows no device (CUDA_VISIBLE_DEVICES may hide some): ";
  } else if (error == cudaErrorInvalidDevice && cudaGetDeviceCount(&num_devices) == cudaSuccess) {
    words = fmt::format("the NVIDIA driver shows {} of them: ", num_devices);
  }
  cudaGetLastError();  // of the questions asked here
  return words;
}

}  // namespace

CurrentDevice::CurrentDevice(int ordinal) {
  int before = 0;
  const char* call = "cudaGetDevice";
  cudaError_t error = cudaGetDevice(&before);
  if (error == cudaSuccess && before != ordinal) {
    call = "cudaSetDevice";
    error = cudaSetDevice(ordinal);
    if (error == cudaSuccess) previous_ = before;
  }
  if (error == cudaSuccess) return;
  status_ = {StatusCode::kDeviceError,
             fmt::format("executor.cuda_ordinal: is {}, must be a device that the CUDA driver "
                         "shows: {}{}",
                         ordinal, why_no_device(error), check_call(error, call).message())};
}

CurrentDevice::~CurrentDevice() {
  if (previous_ >= 0 && cudaSetDevice(previous_) != cudaSuccess) cudaGetLastError();
}

}  // namespace seesaw::cuda
