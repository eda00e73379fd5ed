#include "seesaw/attention.h"

#include <fmt/format.h>

#include "hardware/cpu/launch.h"
#include "seesaw/device.h"
#include "system/cuda_decode.h"
#include "system/guard.h"
#include "system/registry.h"
#include "system/validate.h"
#include "system/view_rules.h"

namespace seesaw {
namespace {

/// What decode and prefill hand to the kernels alike.
void set_cache(const CacheArgs& cache, cpu::AttentionArgs& launch) {
  launch.kv_cache = cache.kv_cache;
  launch.block_table = cache.block_table;
  launch.indices = cache.indices;
  launch.top_k_lengths = cache.top_k_lengths;
  launch.attn_sink = given_data<const float>(cache.attn_sink);
  launch.attn_sink_stride = taken_step(cache.attn_sink, 0);
}

cpu::AttentionArgs launch_args(const WorkPlan& plan, const DecodeArgs& args) {
  cpu::AttentionArgs launch;
  set_cache(args.cache, launch);
  launch.q = args.q;
  launch.q_request_stride = taken_step(args.q, 0);
  launch.q_token_stride = taken_step(args.q, 1);
  launch.q_head_stride = taken_step(args.q, 2);
  if (plan.problem.sparsity == Sparsity::kTopK) {
    launch.indices_request_stride = taken_step(args.cache.indices, 0);
    launch.indices_token_stride = taken_step(args.cache.indices, 1);
  }
  launch.out = args.out;
  launch.out_request_stride = taken_step(args.out, 0);
  launch.out_token_stride = taken_step(args.out, 1);
  launch.out_head_stride = taken_step(args.out, 2);
  launch.lse = given_data<float>(args.lse);
  launch.lse_request_stride = taken_step(args.lse, 0);
  launch.lse_head_stride = taken_step(args.lse, 1);
  launch.lse_token_stride = taken_step(args.lse, 2);
  launch.workspace = args.workspace.data();
  return launch;
}

/// Query offsets lie in the workspace: they are the call's own, so that a plan stays read-only.
std::span<const std::int64_t> write_q_starts(const WorkPlan& plan, std::byte* workspace) {
  auto* q_starts = reinterpret_cast<std::int64_t*>(workspace + plan.q_starts_offset);
  std::int64_t num_tokens = 0;
  for (std::size_t i = 0; i < plan.q_lengths.size(); ++i) {
    q_starts[i] = num_tokens;
    num_tokens += plan.q_lengths[i];
  }
  return {q_starts, plan.q_lengths.size()};
}

cpu::AttentionArgs launch_args(const WorkPlan& plan, const PrefillArgs& args) {
  cpu::AttentionArgs launch;
  set_cache(args.cache, launch);
  launch.q = args.q;
  launch.q_token_stride = taken_step(args.q, 0);
  launch.q_head_stride = taken_step(args.q, 1);
  if (plan.problem.sparsity == Sparsity::kTopK) {
    launch.indices_token_stride = taken_step(args.cache.indices, 0);
  }
  launch.out = args.out;
  launch.out_token_stride = taken_step(args.out, 0);
  launch.out_head_stride = taken_step(args.out, 1);
  launch.lse = given_data<float>(args.lse);
  launch.lse_token_stride = taken_step(args.lse, 0);
  launch.lse_head_stride = taken_step(args.lse, 1);
  launch.max_logits = given_data<float>(args.max_logits);
  launch.max_logits_token_stride = taken_step(args.max_logits, 0);
  launch.max_logits_head_stride = taken_step(args.max_logits, 1);
  launch.q_starts = write_q_starts(plan, args.workspace.data());
  launch.workspace = args.workspace.data();
  return launch;
}

Status validate(const WorkPlan& plan, const DecodeArgs& args) {
  return validate_decode(plan, args);
}
Status validate(const WorkPlan& plan, const PrefillArgs& args) {
  return validate_prefill(plan, args);
}

Status check_executor(const WorkPlan& plan, const Executor& executor) {
  if (executor.is_empty()) {
    return {StatusCode::kInvalidArgument, "executor: is empty, must not have been moved from"};
  }
  if (executor.kind() == plan.device.kind) return Status::ok();
  const auto words = [](DeviceKind kind) {
    return kind == DeviceKind::kCpu ? "a pool of CPU threads" : "a CUDA stream";
  };
  return {StatusCode::kInvalidArgument,
          fmt::format("executor: is {}, must be {}: the plan's kernel is {}",
                      words(executor.kind()), words(plan.device.kind), plan.kernel_name)};
}

/// The plan's kernel runs here, and the executor can take it.
Status find_launchable(const WorkPlan& plan, const Executor& executor, const KernelRow** kernel) {
  Status status = find_runnable(plan, cpu_supports, kernel);
  return status.is_ok() ? check_executor(plan, executor) : status;
}

template <typename Args>
Status launch_on_cpu(const WorkPlan& plan, const CpuKernel& kernel, const Args& args,
                     Executor& executor, DataCheck check) {
  if (check == DataCheck::kVerify) {
    Status status = verify_data(plan, args.cache);
    if (!status.is_ok()) return status;
  }
  kernel.launch(plan, launch_args(plan, args), executor.thread_pool());
  return Status::ok();
}

Status launch_on_cuda(const WorkPlan& plan, const CudaKernel& kernel, const DecodeArgs& args,
                      Executor& executor, DataCheck check) {
  return decode_on_cuda(plan, kernel, args, executor, check);
}
Status launch_on_cuda(const WorkPlan& plan, const CudaKernel& /*kernel*/,
                      const PrefillArgs& /*args*/, Executor& /*executor*/, DataCheck /*check*/) {
  return {StatusCode::kUnsupported,
          fmt::format("plan.kernel_name: is {}, must be a kernel for prefill", plan.kernel_name)};
}

/// validate -> guard -> launch.
template <typename Args>
Status run(const WorkPlan& plan, const Args& args, Executor& executor, DataCheck check) {
  const KernelRow* kernel = nullptr;
  Status status = find_launchable(plan, executor, &kernel);
  if (status.is_ok() && check > DataCheck::kVerify) {
    status = {StatusCode::kInvalidArgument,
              "check: is no DataCheck, must be DataCheck::kTrust or DataCheck::kVerify"};
  }
  if (status.is_ok()) status = validate(plan, args);
  if (!status.is_ok() || total_query_tokens(plan) == 0) return status;
  if (check == DataCheck::kVerify) status = verify_plan(plan);
  if (!status.is_ok()) return status;
  return kernel->cpu() != nullptr ? launch_on_cpu(plan, *kernel->cpu(), args, executor, check)
                                  : launch_on_cuda(plan, *kernel->cuda(), args, executor, check);
}

}  // namespace

Status prepare(const WorkPlan& plan, ConstTensorView kv_lengths, std::span<std::byte> workspace,
               Executor& executor) {
  const KernelRow* kernel = nullptr;
  Status status = validate_plan(plan, plan.problem.phase);
  if (status.is_ok()) status = find_launchable(plan, executor, &kernel);
  if (status.is_ok()) status = validate_prepare(plan, kv_lengths, workspace);
  if (!status.is_ok() || kernel->cpu() != nullptr || total_query_tokens(plan) == 0) return status;
  return prepare_on_cuda(plan, kv_lengths, workspace, executor);
}

Status decode(const WorkPlan& plan, const DecodeArgs& args, Executor& executor, DataCheck check) {
  Status status = validate_plan(plan, Phase::kDecode);
  return status.is_ok() ? run(plan, args, executor, check) : status;
}

Status prefill(const WorkPlan& plan, const PrefillArgs& args, Executor& executor, DataCheck check) {
  Status status = validate_plan(plan, Phase::kPrefill);
  return status.is_ok() ? run(plan, args, executor, check) : status;
}

}  // namespace seesaw
