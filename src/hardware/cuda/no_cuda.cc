// The CUDA functions that this build does not have: all of them without a CUDA toolkit. Each
// refuses; CurrentDevice does so before any other is reached.
#include "hardware/cuda/current_device.h"
#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/store_plan.h"
#include "hardware/cuda/verify_data.h"

namespace seesaw::cuda {

#if !defined(SEESAW_HAS_CUDA) || defined(SEESAW_NO_SM90) || defined(SEESAW_NO_PORTABLE) || \
    defined(SEESAW_NO_COMBINE)
namespace {
Status refusal() {
  return {StatusCode::kUnsupported,
          "executor: is a CUDA stream, but this build has no CUDA kernels: build Seesaw with the "
          "CUDA toolkit (SEESAW_CUDA=ON)"};
}
}  // namespace
#endif

#if !defined(SEESAW_HAS_CUDA)
CurrentDevice::CurrentDevice(int /*ordinal*/) : status_(refusal()) {}
CurrentDevice::~CurrentDevice() = default;

Status store_plan(std::span<const PlanPart> /*parts*/, std::byte* /*workspace*/,
                  StreamHandle /*stream*/) {
  return refusal();
}
Status verify_data(const DecodeCall& /*call*/, std::int64_t /*max_pages*/, std::byte* /*scratch*/,
                   StreamHandle /*stream*/) {
  return refusal();
}
#endif

#if !defined(SEESAW_HAS_CUDA) || defined(SEESAW_NO_SM90)
Status launch_decode_sm90(const DecodeCall& /*call*/, StreamHandle /*stream*/) { return refusal(); }
#endif

#if !defined(SEESAW_HAS_CUDA) || defined(SEESAW_NO_PORTABLE)
Status launch_decode_portable(const DecodeCall& /*call*/, StreamHandle /*stream*/) {
  return refusal();
}
#endif

#if !defined(SEESAW_HAS_CUDA) || defined(SEESAW_NO_COMBINE)
Status launch_combine(const DecodeCall& /*call*/, StreamHandle /*stream*/) { return refusal(); }
#endif

#if defined(SEESAW_NO_SM90_TRAITS)
std::string why_not_sm90(const AttentionProblem& problem, const DeviceSpec& device) {
  if (device.sm_arch != 90) return "it runs on sm_90 only";
  if (problem.phase != Phase::kDecode) return "it computes decode only";
  if (problem.sparsity != Sparsity::kDense) return "it computes dense attention only";
  if (plain_dtype(problem.kv_format) != problem.q_dtype || problem.q_dtype == DType::kFloat32) {
    return "query and cache must be bfloat16 or float16, both the same";
  }
  return {};
}
std::string why_not_sm90_call(const DecodeCall& /*call*/) { return {}; }
DecodeTraits sm90_traits(const AttentionProblem& /*problem*/) {
  return {.rows_per_tile = 64, .tokens_per_block = 64, .max_group_size = 2};
}
#endif

#if defined(SEESAW_NO_PORTABLE_TRAITS)
std::string why_not_portable(const AttentionProblem& problem, const DeviceSpec& device) {
  if (device.sm_arch < 80) return "it needs sm_80 or newer";
  if (problem.phase != Phase::kDecode) return "it computes decode only";
  if (problem.sparsity != Sparsity::kDense) return "it computes dense attention only";
  if (plain_dtype(problem.kv_format) != problem.q_dtype || problem.q_dtype == DType::kFloat32) {
    return "query and cache must be bfloat16 or float16, both the same";
  }
  return {};
}
DecodeTraits portable_traits(const AttentionProblem& /*problem*/) {
  return {.rows_per_tile = 64, .tokens_per_block = 64, .max_group_size = 1};
}
#endif

}  // namespace seesaw::cuda
