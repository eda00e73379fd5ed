// WHERE it may run: the facts of a device that planning needs, as plain data, so that a plan for a
// machine can be made, printed and tested on another.
#pragma once

#include <cstdint>
#include <string>

namespace seesaw {

enum class DeviceKind : std::uint8_t { kCpu, kCuda };

/// CPU instruction sets that have kernels, in rising order of preference.
enum class CpuIsa : std::uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16 };

constexpr const char* to_string(CpuIsa isa) noexcept {
  switch (isa) {
    case CpuIsa::kGeneric:
      return "generic";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

struct DeviceSpec {
  DeviceKind kind = DeviceKind::kCpu;
  std::string name;                  // as the device calls itself
  int num_workers = 1;               // CPU threads or streaming multiprocessors to plan for
  std::int64_t l1_bytes = 32 << 10;  // data cache a core (CPU)
  std::int64_t l2_bytes = 1 << 20;   // a core (CPU) or the device (CUDA)
  std::int64_t l3_bytes = 0;
  std::int64_t memory_bytes = 0;
  CpuIsa cpu_isa = CpuIsa::kGeneric;  // may be lowered by the caller to force a kernel
  int cuda_ordinal = -1;
  int sm_arch = 0;              // CUDA: 90 for Hopper
  int shared_memory_bytes = 0;  // CUDA: for one block, opt-in
};

}  // namespace seesaw
