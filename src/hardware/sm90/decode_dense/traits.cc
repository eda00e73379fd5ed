// What the kernel serves and asks for; plain C++, in builds without CUDA too.
#include <fmt/format.h>

#include <cstdint>

#include "hardware/cuda/decode_launch.h"
#include "hardware/sm90/decode_dense/config.h"

namespace seesaw::cuda {
namespace {

namespace decode_dense = sm90::decode_dense;

bool has_shape(std::int64_t d_qk, std::int64_t d_v) {
  return (d_qk == 576 && d_v == 512) || (d_qk == 512 && d_v == 512) || (d_qk == 320 && d_v == 256);
}

bool is_multiple(std::int64_t elements, std::int64_t of_bytes, std::int64_t element_bytes) {
  return elements * element_bytes % of_bytes == 0;
}

bool are_multiples(const RowStrides& strides, std::int64_t of_bytes, std::int64_t element_bytes) {
  return is_multiple(strides.request, of_bytes, element_bytes) &&
         is_multiple(strides.token, of_bytes, element_bytes) &&
         is_multiple(strides.head, of_bytes, element_bytes);
}

bool is_aligned(const void* pointer, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

}  // namespace

std::string why_not_sm90(const AttentionProblem& problem, const DeviceSpec& device) {
  if (device.sm_arch != 90) {
    return fmt::format("made for compute capability 9.0, the device has {}.{}", device.sm_arch / 10,
                       device.sm_arch % 10);
  }
  std::string cause = why_not_dense_decode(problem, device, decode_dense::kSharedMemoryBytes);
  if (!cause.empty()) return cause;
  const DType type = problem.q_dtype;
  if (problem.out_dtype != type && problem.out_dtype != DType::kFloat32) {
    return fmt::format("writes q's type, {}, or float32; out is {}", to_string(type),
                       to_string(problem.out_dtype));
  }
  if (!has_shape(problem.d_qk, problem.d_v)) {
    return fmt::format(
        "compiled for (d_qk, d_v) = (576, 512), (512, 512) and (320, 256); asked for ({}, {})",
        problem.d_qk, problem.d_v);
  }
  if (problem.page_size != 16 && problem.page_size != 32 && problem.page_size % 64 != 0) {
    return fmt::format("takes pages of 16, 32 or a multiple of 64 tokens; they have {}",
                       problem.page_size);
  }
  if (!(problem.scale() > 0)) return "needs a softmax_scale above 0";
  return {};
}

DecodeTraits sm90_traits(const AttentionProblem&) {
  return {.rows_per_tile = decode_dense::kRows,
          .tokens_per_block = decode_dense::kTokens,
          .max_group_size = 4};
}

std::string why_not_sm90_call(const DecodeCall& call) {
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;  // of a tensor map's stride
  if (!is_aligned(call.q, 16) || !are_multiples(call.q_strides, 16, 2)) {
    return "rows of q are not 16-byte aligned";
  }
  if (call.num_pages == 0)
    return "kv_cache has no pages, and a tensor map of nothing cannot be made";
  if (!is_aligned(call.kv_cache, 16)) return "kv_cache is not 16-byte aligned";
  const struct {
    std::int64_t size, stride;
  } dimensions[] = {{call.num_pages, call.page_stride},
                    {call.page_size, call.token_stride},
                    {call.shape.h_kv, call.kv_head_stride}};
  for (const auto& [size, stride] : dimensions) {
    if ((size > 1 && stride == 0) || !is_multiple(stride, 16, 2) || stride < 0 ||
        stride >= kMostBytes / 2) {
      return fmt::format(
          "kv_cache has a stride of {} elements; tensor maps take multiples of 8, "
          "positive and below 2^39",
          stride);
    }
  }
  const bool is_float = call.out_dtype == DType::kFloat32;
  if (!is_aligned(call.out, is_float ? 8 : 16) ||
      !are_multiples(call.out_strides, is_float ? 8 : 16, is_float ? 4 : 2)) {
    return fmt::format("rows of out are not {}-byte aligned", is_float ? 8 : 16);
  }
  return {};
}

}  // namespace seesaw::cuda
