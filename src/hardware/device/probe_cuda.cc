#include "seesaw/device.h"

#if defined(SEESAW_HAS_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace seesaw {

#if defined(SEESAW_HAS_CUDA)
namespace {

// Asked one by one: the whole property structure changes its layout between CUDA versions.
bool read_attribute(cudaDeviceAttr attribute, int ordinal, int& value) {
  return cudaDeviceGetAttribute(&value, attribute, ordinal) == cudaSuccess;
}

// False where the driver does not answer.
bool describe(int ordinal, DeviceSpec& spec) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess) return false;
  int major = 0;
  int minor = 0;
  int l2_bytes = 0;
  if (!read_attribute(cudaDevAttrMultiProcessorCount, ordinal, spec.num_workers) ||
      !read_attribute(cudaDevAttrComputeCapabilityMajor, ordinal, major) ||
      !read_attribute(cudaDevAttrComputeCapabilityMinor, ordinal, minor) ||
      !read_attribute(cudaDevAttrL2CacheSize, ordinal, l2_bytes) ||
      !read_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal, spec.shared_memory_bytes)) {
    return false;
  }
  spec.kind = DeviceKind::kCuda;
  spec.name = properties.name;
  spec.l1_bytes = 0;
  spec.l2_bytes = l2_bytes;
  spec.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  spec.cuda_ordinal = ordinal;
  spec.sm_arch = 10 * major + minor;
  return true;
}

}  // namespace

std::vector<DeviceSpec> probe_cuda() {
  std::vector<DeviceSpec> devices;
  int num_devices = 0;
  if (cudaGetDeviceCount(&num_devices) != cudaSuccess) num_devices = 0;
  for (int ordinal = 0; ordinal < num_devices; ++ordinal) {
    DeviceSpec spec;
    if (describe(ordinal, spec)) devices.push_back(spec);
  }
  cudaGetLastError();  // a missing driver is an answer here: leave no error behind for the caller
  return devices;
}

bool is_built_with_cuda() noexcept { return true; }

#else

std::vector<DeviceSpec> probe_cuda() { return {}; }

bool is_built_with_cuda() noexcept { return false; }

#endif

}  // namespace seesaw
