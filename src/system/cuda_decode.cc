#include "system/cuda_decode.h"

#include <fmt/format.h>

#include <array>
#include <numbers>
#include <string>

#include "hardware/cuda/current_device.h"
#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/store_plan.h"
#include "hardware/cuda/verify_data.h"
#include "system/device_planner.h"
#include "system/view_rules.h"

namespace seesaw {
namespace {

/// Of a view [b, tokens, heads, d].
template <typename Void>
cuda::RowStrides row_strides(const BasicTensorView<Void>& view) {
  return {taken_step(view, 0), taken_step(view, 1), taken_step(view, 2)};
}

void set_cache(const WorkPlan& plan, const CacheArgs& cache, cuda::DecodeCall& call) {
  call.kv_cache = cache.kv_cache.data;
  call.num_pages = cache.kv_cache.dim(0);
  call.page_stride = taken_step(cache.kv_cache, 0);
  call.token_stride = taken_step(cache.kv_cache, 1);
  call.kv_head_stride = taken_step(cache.kv_cache, 2);
  call.page_size = static_cast<std::int32_t>(plan.problem.page_size);
  call.block_table = given_data<const std::int32_t>(cache.block_table);
  call.block_table_request_stride = taken_step(cache.block_table, 0);
  call.block_table_page_stride = taken_step(cache.block_table, 1);
  call.attn_sink = given_data<const float>(cache.attn_sink);
  call.attn_sink_stride = taken_step(cache.attn_sink, 0);
}

void set_division(const WorkPlan& plan, std::byte* workspace, cuda::DecodeCall& call) {
  const GroupPlan& groups = plan.groups;
  call.shape = groups.shape;
  call.cuts = reinterpret_cast<const Cut*>(workspace + groups.cuts_offset);
  call.first_ranges = reinterpret_cast<const std::int32_t*>(workspace + groups.first_ranges_offset);
  call.kv_lengths = reinterpret_cast<const std::int32_t*>(workspace + groups.kv_lengths_offset);
  call.slots = reinterpret_cast<float*>(workspace + plan.slots_offset);
  call.slot_stride = static_cast<std::int64_t>(plan.slot_stride / sizeof(float));
}

cuda::DecodeCall decode_call(const WorkPlan& plan, const DecodeArgs& args) {
  const AttentionProblem& problem = plan.problem;
  cuda::DecodeCall call;
  call.q = args.q.data;
  call.q_strides = row_strides(args.q);
  call.q_dtype = problem.q_dtype;
  set_cache(plan, args.cache, call);
  call.out = args.out.data;
  call.out_strides = row_strides(args.out);
  call.out_dtype = problem.out_dtype;
  call.lse = given_data<float>(args.lse);
  call.lse_strides = {.request = taken_step(args.lse, 0),
                      .token = taken_step(args.lse, 2),
                      .head = taken_step(args.lse, 1)};
  call.d_qk = static_cast<std::int32_t>(problem.d_qk);
  call.d_v = static_cast<std::int32_t>(problem.d_v);
  call.scale_log2 = static_cast<float>(double{problem.scale()} * std::numbers::log2e);
  set_division(plan, args.workspace.data(), call);
  return call;
}

/// Empty where the kernel takes over a plan that another one was asked about.
std::string why_not_instead(const WorkPlan& plan, const KernelRow& row,
                            const cuda::DecodeCall& call) {
  std::string cause = why_not(row, plan.problem, plan.device);
  if (!cause.empty()) return cause;
  const cuda::DecodeTraits traits = row.cuda()->traits(plan.problem);
  if (traits.rows_per_tile != call.shape.rows_per_tile ||
      traits.tokens_per_block != call.shape.tokens_per_block) {
    return fmt::format("its tiles have {} rows and {} keys, the plan's {} and {}",
                       traits.rows_per_tile, traits.tokens_per_block, call.shape.rows_per_tile,
                       call.shape.tokens_per_block);
  }
  return row.cuda()->why_not_call == nullptr ? std::string() : row.cuda()->why_not_call(call);
}

/// `kernel`, or where it cannot take these arrays the next that can.
Result<const CudaKernel*> kernel_for_call(const WorkPlan& plan, const CudaKernel& kernel,
                                          const cuda::DecodeCall& call) {
  if (kernel.why_not_call == nullptr) return &kernel;
  std::string causes = kernel.why_not_call(call);
  if (causes.empty()) return &kernel;
  causes = fmt::format("{}: {}", plan.kernel_name, causes);
  for (const KernelRow& row : kernel_table()) {
    if (row.cuda() == nullptr || row.cuda() == &kernel) continue;
    const std::string cause = why_not_instead(plan, row, call);
    if (cause.empty()) return row.cuda();
    causes += fmt::format("; {}: {}", row.name, cause);
  }
  return Status(StatusCode::kUnsupported,
                fmt::format("args: no kernel takes these arrays with this plan; {}", causes));
}

Status store_host_division(const WorkPlan& plan, std::byte* workspace, cuda::StreamHandle stream) {
  const GroupPlan& groups = plan.groups;
  const std::array parts = {
      cuda::PlanPart{groups.cuts.data(), groups.cuts.size() * sizeof(Cut), groups.cuts_offset},
      cuda::PlanPart{groups.first_ranges.data(), groups.first_ranges.size() * sizeof(std::int32_t),
                     groups.first_ranges_offset},
      cuda::PlanPart{plan.kv_lengths.data(), plan.kv_lengths.size() * sizeof(std::int32_t),
                     groups.kv_lengths_offset},
      cuda::PlanPart{nullptr,
                     static_cast<std::size_t>(groups.num_arrivals()) * sizeof(std::int32_t),
                     groups.arrivals_offset},
  };
  return cuda::store_plan(parts, workspace, stream);
}

}  // namespace

Status prepare_on_cuda(const WorkPlan& plan, const ConstTensorView& kv_lengths,
                       std::span<std::byte> workspace, const Executor& executor) {
  const cuda::CurrentDevice device(executor.cuda_ordinal());
  if (!device.status().is_ok()) return device.status();
  if (!plan.has_device_lengths()) {
    return store_host_division(plan, workspace.data(), executor.cuda_stream());
  }
  return cuda::launch_planner(plan.groups, static_cast<const std::int32_t*>(kv_lengths.data),
                              taken_step(kv_lengths, 0), workspace.data(), executor.cuda_stream());
}

Status decode_on_cuda(const WorkPlan& plan, const CudaKernel& kernel, const DecodeArgs& args,
                      const Executor& executor, DataCheck check) {
  const cuda::StreamHandle stream = executor.cuda_stream();
  cuda::DecodeCall call = decode_call(plan, args);
  const Result<const CudaKernel*> taken = kernel_for_call(plan, kernel, call);
  if (!taken) return taken.status();
  const cuda::CurrentDevice device(executor.cuda_ordinal());
  if (!device.status().is_ok()) return device.status();
  if (check == DataCheck::kVerify) {
    Status status = cuda::verify_data(call, args.cache.block_table.dim(1),
                                      args.workspace.data() + plan.groups.scratch_offset, stream);
    if (!status.is_ok()) return status;
  }
  if (taken.value()->merges_pieces && plan.groups.num_arrivals() > 0) {
    call.arrivals =
        reinterpret_cast<std::int32_t*>(args.workspace.data() + plan.groups.arrivals_offset);
  }
  Status status = taken.value()->launch(call, stream);
  // Slots are there where something may be split; only the host knows that nothing is.
  if (status.is_ok() && plan.num_slots > 0 && call.arrivals == nullptr) {
    status = cuda::launch_combine(call, stream);
  }
  return status;
}

}  // namespace seesaw
