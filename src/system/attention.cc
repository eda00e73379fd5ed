#include "seesaw/attention.h"

#include "hardware/cpu/launch.h"
#include "seesaw/device.h"
#include "system/guard.h"
#include "system/registry.h"
#include "system/validate.h"

namespace seesaw {
namespace {

/// The view's memory; nullptr of a view that is not given, whatever its pointer says.
float* given_floats(const TensorView& view) {
  return view.is_empty_argument() ? nullptr : static_cast<float*>(view.data);
}

/// The stride of a dimension; 0 where it is never taken, for then it may be any number.
template <typename Void>
std::int64_t taken_step(const BasicTensorView<Void>& view, int dim) {
  return view.dim(dim) <= 1 ? 0 : view.step(dim);
}

/// What decode and prefill hand to the kernels alike.
void set_cache(const CacheArgs& cache, cpu::AttentionArgs& launch) {
  launch.kv_cache = cache.kv_cache;
  launch.block_table = cache.block_table;
  launch.indices = cache.indices;
  launch.top_k_lengths = cache.top_k_lengths;
  if (!cache.attn_sink.is_empty_argument()) {
    launch.attn_sink = static_cast<const float*>(cache.attn_sink.data);
  }
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
  launch.lse = given_floats(args.lse);
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
  launch.lse = given_floats(args.lse);
  launch.lse_token_stride = taken_step(args.lse, 0);
  launch.lse_head_stride = taken_step(args.lse, 1);
  launch.max_logits = given_floats(args.max_logits);
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

Status check_executor(const Executor& executor) {
  if (executor.num_threads() > 0) return Status::ok();
  return {StatusCode::kInvalidArgument,
          "executor: has 0 threads, must have 1 or more: was it moved from?"};
}

/// validate -> guard -> launch.
template <typename Args>
Status run(const WorkPlan& plan, const Args& args, Executor& executor, DataCheck check) {
  const KernelRow* kernel = nullptr;
  Status status = find_runnable(plan, cpu_supports, &kernel);
  if (status.is_ok()) status = check_executor(executor);
  if (status.is_ok() && check > DataCheck::kVerify) {
    status = {StatusCode::kInvalidArgument,
              "check: is no DataCheck, must be DataCheck::kTrust or DataCheck::kVerify"};
  }
  if (status.is_ok()) status = validate(plan, args);
  if (!status.is_ok() || total_query_tokens(plan) == 0) return status;
  if (check == DataCheck::kVerify) {
    status = verify_plan(plan);
    if (status.is_ok()) status = verify_data(plan, args.cache);
  }
  if (!status.is_ok()) return status;
  kernel->launch(plan, launch_args(plan, args), executor.thread_pool());
  return Status::ok();
}

}  // namespace

Status decode(const WorkPlan& plan, const DecodeArgs& args, Executor& executor, DataCheck check) {
  Status status = validate_plan(plan, Phase::kDecode);
  return status.is_ok() ? run(plan, args, executor, check) : status;
}

Status prefill(const WorkPlan& plan, const PrefillArgs& args, Executor& executor, DataCheck check) {
  Status status = validate_plan(plan, Phase::kPrefill);
  return status.is_ok() ? run(plan, args, executor, check) : status;
}

}  // namespace seesaw
