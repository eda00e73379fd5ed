// Plans for CUDA devices, made on any machine, for tests that launch nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "seesaw/plan.h"
#include "system/small_call.h"

namespace seesaw::testing {

/// The facts of an H100 SXM that planning needs.
inline DeviceSpec h100() {
  DeviceSpec device;
  device.kind = DeviceKind::kCuda;
  device.name = "an H100";
  device.num_workers = 132;
  device.l1_bytes = 0;
  device.l2_bytes = 50 << 20;
  device.memory_bytes = std::int64_t{80} << 30;
  device.cuda_ordinal = 0;
  device.sm_arch = 90;
  device.shared_memory_bytes = 227 << 10;
  return device;
}

inline DeviceSpec device_of_arch(int sm_arch) {
  DeviceSpec device = h100();
  device.sm_arch = sm_arch;
  device.shared_memory_bytes =
      sm_arch == 80 || sm_arch == 90 ? device.shared_memory_bytes : 99 << 10;
  return device;
}

/// Decode as DeepSeek-V3 needs it.
inline AttentionProblem latent_decode(std::int64_t batch) {
  AttentionProblem problem;
  problem.batch = batch;
  return problem;
}

/// A decode that the tuned kernel serves, of few numbers.
inline CaseSpec small_cuda_decode() {
  CaseSpec spec;
  spec.problem.h_q = 16;
  spec.problem.page_size = 16;
  spec.kv_lengths = {70, 0, 9};
  return spec;
}

}  // namespace seesaw::testing
