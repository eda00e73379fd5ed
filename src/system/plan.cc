#include "seesaw/plan.h"

#include <fmt/format.h>

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

/// Schedules the plan's lengths for its kernel and lays out the workspace.
Status divide(WorkPlan& plan, const KernelRow& kernel, std::optional<std::int32_t> num_splits) {
  const cpu::KernelTraits traits = kernel.traits(plan.problem, kernel.cpu_isa);
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
  if (!status.is_ok()) plan.kernel_name.clear();  // so that no launch takes the half-made plan
  return status;
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
  const Result<const KernelRow*> kernel = select_kernel(problem, device, plan.reasons);
  if (!kernel) return kernel.status();
  plan.problem = problem;
  plan.device = device;
  plan.mode = options.mode;
  plan.kernel_name = kernel.value()->name;
  plan.cpu_isa = kernel.value()->cpu_isa;
  if (problem.sparsity == Sparsity::kDense) keep_lengths(kv_lengths, plan.kv_lengths);
  keep_lengths(q_lengths, plan.q_lengths);
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
  Status status = validate_options(options);
  if (status.is_ok()) status = validate_lengths(plan.problem, kv_lengths, q_lengths);
  if (!status.is_ok()) return status;
  if (plan.problem.sparsity == Sparsity::kDense) keep_lengths(kv_lengths, plan.kv_lengths);
  keep_lengths(q_lengths, plan.q_lengths);
  return divide(plan, *kernel, options.num_splits);
}

}  // namespace seesaw
