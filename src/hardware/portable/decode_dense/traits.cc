// What the kernel serves and asks for; plain C++, in builds without CUDA too.
#include <fmt/format.h>

#include "hardware/cuda/decode_launch.h"
#include "hardware/portable/decode_dense/config.h"

namespace seesaw::cuda {

namespace decode_dense = portable::decode_dense;

std::string why_not_portable(const AttentionProblem& problem, const DeviceSpec& device) {
  if (device.sm_arch < 80) {
    return fmt::format("needs compute capability 8.0, the device has {}.{}", device.sm_arch / 10,
                       device.sm_arch % 10);
  }
  std::string cause = why_not_dense_decode(problem, device, decode_dense::kMaxSharedBytes);
  if (!cause.empty()) return cause;
  if (!is_attention_float(problem.out_dtype)) {
    return fmt::format("writes bfloat16, float16 and float32; out is {}",
                       to_string(problem.out_dtype));
  }
  static_assert(decode_dense::TallConfig::kDQk >= kMaxHeadDim);  // d_v is never above d_qk
  return {};
}

DecodeTraits portable_traits(const AttentionProblem&) {
  return {.rows_per_tile = decode_dense::kRows,
          .tokens_per_block = decode_dense::kTokens,
          .max_group_size = 4};  // as the tuned kernel's, whose plans it must serve
}

}  // namespace seesaw::cuda
