// The instruction sets that this machine runs: every one of them is tested.
#pragma once

#include <string>
#include <vector>

#include "seesaw/device.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"

namespace seesaw::testing {

inline std::vector<CpuIsa> supported_isas() {
  std::vector<CpuIsa> isas;
  for (CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    if (cpu_supports(isa)) isas.push_back(isa);
  }
  return isas;
}

inline std::string isa_name(const ::testing::TestParamInfo<CpuIsa>& info) {
  return to_string(info.param);
}

/// Types of q, cache and output together: bfloat16, the only ones that every kernel serves.
inline void set_types(AttentionProblem& problem, DType dtype) {
  problem.q_dtype = dtype;
  problem.out_dtype = dtype;
  problem.kv_format = *plain_format(dtype);
}

/// The type that makes the kernels of `isa` be taken.
inline DType type_for(CpuIsa isa) {
  return isa == CpuIsa::kAvx512Bf16 ? DType::kBFloat16 : DType::kFloat32;
}

}  // namespace seesaw::testing
