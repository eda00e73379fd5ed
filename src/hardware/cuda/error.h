// From a CUDA error to a Status. Successful calls cost a comparison.
#pragma once

#include <cuda_runtime_api.h>

#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// What a launch asked for.
struct LaunchShape {
  dim3 grid;
  dim3 block;
  int shared_bytes = 0;  // dynamic
};

/// kDeviceError "CALL: failed with cudaErrorName (words)" unless it succeeded. Takes the error off
/// the thread's record, so that no later call of the caller's reports it.
Status check_call(cudaError_t error, const char* call);

/// The same for the launch of `kernel`, with the shape and the current device's limits.
Status check_launch(cudaError_t error, const char* kernel, const LaunchShape& shape);

}  // namespace seesaw::cuda
