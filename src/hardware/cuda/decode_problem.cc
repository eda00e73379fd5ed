// What all CUDA kernels of dense decode ask of a problem; plain C++, in builds without CUDA too.
#include <fmt/format.h>

#include "hardware/cuda/decode_launch.h"

namespace seesaw::cuda {

std::string why_not_dense_decode(const AttentionProblem& problem, const DeviceSpec& device,
                                 int shared_bytes) {
  if (device.shared_memory_bytes < shared_bytes) {
    return fmt::format("needs {} bytes of shared memory for a block, the device has {}",
                       shared_bytes, device.shared_memory_bytes);
  }
  if (problem.phase != Phase::kDecode) return "serves decode only";
  if (problem.sparsity != Sparsity::kDense) return "serves dense attention only";
  const DType type = problem.q_dtype;
  if (type != DType::kBFloat16 && type != DType::kFloat16) {
    return fmt::format("serves bfloat16 and float16 queries, q is {}", to_string(type));
  }
  if (problem.kv_format != *plain_format(type)) {
    return fmt::format("needs a cache of q's type, {}; it is {}", to_string(type),
                       to_string(problem.kv_format));
  }
  return {};
}

}  // namespace seesaw::cuda
