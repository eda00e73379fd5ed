#include "seesaw/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "scheduling/group_cuts.h"
#include "scheduling/scheduler.h"
#include "system/registry.h"
#include "system/validate.h"

namespace seesaw {
namespace {

/// `to` takes the lengths, unless they are its own already.
void keep_lengths(std::span<const std::int32_t> from, std::vector<std::int32_t>& to) {
  if (from.data() == to.data() && from.size() == to.size()) return;
  to.assign(from.begin(), from.end());
}

/// Lists the items of each worker and lays out the workspace.
Status divide_items(WorkPlan& plan, const CpuKernel& kernel,
                    std::optional<std::int32_t> num_splits) {
  const cpu::KernelTraits traits = kernel.traits(plan.problem, kernel.isa);
  Status status = scheduling::schedule(
      {.problem = plan.problem,
       .mode = plan.mode,
       .num_workers = plan.device.num_workers,
       .rows_per_tile = traits.rows_per_tile,
       .kv_granule = traits.kv_granule,
       .cost = scheduling::cost_model(plan.problem, plan.device.kind, plan.cpu_isa),
       .kv_lengths = plan.kv_lengths,
       .q_lengths = plan.q_lengths,
       .num_splits = num_splits},
      plan);
  if (status.is_ok()) {
    // Without an item no kernel runs, and a no-op should not ask for memory.
    const std::size_t scratch_bytes = plan.items.empty() ? 0 : traits.scratch_bytes_per_worker;
    status = scheduling::lay_out_workspace(plan, scratch_bytes);
  }
  return status;
}

/// Lays the call over groups of workers; cuts it where the lengths are known here.
Status divide_groups(WorkPlan& plan, const CudaKernel& kernel,
                     std::optional<std::int32_t> num_splits) {
  const cuda::DecodeTraits traits = kernel.traits(plan.problem);
  GroupPlan& groups = plan.groups;
  const GroupShape& shape = groups.shape;
  Status status = scheduling::choose_groups({.problem = plan.problem,
                                             .mode = plan.mode,
                                             .num_splits = num_splits,
                                             .num_workers = plan.device.num_workers,
                                             .rows_per_tile = traits.rows_per_tile,
                                             .tokens_per_block = traits.tokens_per_block,
                                             .max_group_size = traits.max_group_size},
                                            groups);
  // Without a sequence no kernel runs, and a no-op should not ask for memory.
  if (!status.is_ok() || shape.num_sequences() == 0) return status;
  plan.rows_per_tile = shape.rows_per_tile;
  plan.kv_granule = shape.tokens_per_block;
  plan.num_slots = static_cast<std::int32_t>(shape.num_slots());
  if (!plan.has_device_lengths()) {
    status = scheduling::cut_groups(plan.kv_lengths, groups, plan.planner_scratch);
    const auto lies_inside = [](const Cut& cut) { return cut.block_idx > 0; };
    if (std::none_of(groups.cuts.begin(), groups.cuts.end(), lies_inside)) plan.num_slots = 0;
  }
  return status.is_ok() ? scheduling::lay_out_group_workspace(groups, plan) : status;
}

/// Without success, by status or exception, the plan names no kernel: no launch takes it half made.
Status divide(WorkPlan& plan, const KernelRow& kernel, std::optional<std::int32_t> num_splits) {
  std::string kernel_name = std::exchange(plan.kernel_name, {});
  Status status = kernel.cpu() != nullptr ? divide_items(plan, *kernel.cpu(), num_splits)
                                          : divide_groups(plan, *kernel.cuda(), num_splits);
  if (status.is_ok()) plan.kernel_name = std::move(kernel_name);
  return status;
}

/// Everything but lengths and division.
Result<const KernelRow*> begin_plan(const AttentionProblem& problem, const DeviceSpec& device,
                                    const PlanOptions& options, WorkPlan& plan) {
  Result<const KernelRow*> kernel = select_kernel(problem, device, plan.reasons);
  if (!kernel) return kernel.status();
  plan.problem = problem;
  plan.device = device;
  plan.mode = options.mode;
  plan.kernel_name = kernel.value()->name;
  plan.cpu_isa = kernel.value()->cpu_isa();
  return kernel;
}

}  // namespace

Result<WorkPlan> plan(const AttentionProblem& problem, const DeviceSpec& device,
                      std::span<const std::int32_t> kv_lengths,
                      std::span<const std::int32_t> q_lengths, const PlanOptions& options) {
  Status status = validate_problem(problem);
  if (status.is_ok()) status = validate_device(device);
  if (status.is_ok()) status = validate_options(options);
  if (status.is_ok()) status = validate_lengths(problem, kv_lengths, q_lengths);
  if (!status.is_ok()) return status;

  WorkPlan plan;
  const Result<const KernelRow*> kernel = begin_plan(problem, device, options, plan);
  if (!kernel) return kernel.status();
  if (problem.sparsity == Sparsity::kDense) keep_lengths(kv_lengths, plan.kv_lengths);
  keep_lengths(q_lengths, plan.q_lengths);
  status = divide(plan, *kernel.value(), options.num_splits);
  if (!status.is_ok()) return status;
  return plan;
}

Result<WorkPlan> plan_for_device_lengths(const AttentionProblem& problem, const DeviceSpec& device,
                                         const PlanOptions& options) {
  Status status = validate_problem(problem);
  if (status.is_ok()) status = validate_device(device);
  if (status.is_ok()) status = validate_options(options);
  if (status.is_ok() && device.kind != DeviceKind::kCuda) {
    status = {StatusCode::kUnsupported,
              "device.kind: is cpu, must be cuda: a CPU's plan needs the lengths"};
  }
  if (!status.is_ok()) return status;

  WorkPlan plan;
  const Result<const KernelRow*> kernel = begin_plan(problem, device, options, plan);
  if (!kernel) return kernel.status();
  status = divide(plan, *kernel.value(), options.num_splits);
  if (!status.is_ok()) return status;
  return plan;
}

Status replan(WorkPlan& plan, std::span<const std::int32_t> kv_lengths,
              std::span<const std::int32_t> q_lengths, const PlanOptions& options) {
  const KernelRow* kernel = find_kernel(plan.kernel_name);
  if (kernel == nullptr) {
    return {StatusCode::kInvalidArgument,
            fmt::format("plan.kernel_name: is \"{}\", must be set by plan()", plan.kernel_name)};
  }
  if (plan.has_device_lengths() && plan.problem.batch > 0) {
    return {StatusCode::kInvalidArgument,
            "plan: was made for lengths on the device, must be one made for lengths on the host: "
            "call prepare() instead whenever those on the device change"};
  }
  Status status = validate_options(options);
  if (status.is_ok()) status = validate_lengths(plan.problem, kv_lengths, q_lengths);
  if (!status.is_ok()) return status;
  if (plan.problem.sparsity == Sparsity::kDense) keep_lengths(kv_lengths, plan.kv_lengths);
  keep_lengths(q_lengths, plan.q_lengths);
  return divide(plan, *kernel, options.num_splits);
}

}  // namespace seesaw
