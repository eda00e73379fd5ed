// The kernel table: what may serve a problem, in order of preference, with each row's own reason
// where it does not. To add a kernel is to add a row.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/cpu/launch.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

struct KernelRow {
  const char* name = nullptr;
  DeviceKind device = DeviceKind::kCpu;
  CpuIsa cpu_isa = CpuIsa::kGeneric;
  /// nullptr where the kernel serves the problem, else why it does not.
  const char* (*why_not)(const AttentionProblem& problem, CpuIsa isa) = nullptr;
  cpu::KernelTraits (*traits)(const AttentionProblem& problem, CpuIsa isa) = nullptr;
  void (*launch)(const WorkPlan& plan, const cpu::AttentionArgs& args,
                 cpu::ThreadPool& pool) = nullptr;
};

/// Every row, the preferred first.
std::span<const KernelRow> kernel_table() noexcept;

/// The row of that name, or nullptr.
const KernelRow* find_kernel(std::string_view name) noexcept;

/// The first row that the device has the instructions for and that serves the problem. `reasons`
/// receives a line for each row passed over, then one for the row taken.
/// Errors: kUnsupported, with every row's reason.
Result<const KernelRow*> select_kernel(const AttentionProblem& problem, const DeviceSpec& device,
                                       std::vector<std::string>& reasons);

/// The row that the plan was made for, if `supports` its instruction set: a plan may come from
/// another machine, or from a caller who changed it. Allocates only to word a failure.
/// Errors: kInvalidArgument (the plan names no kernel), kUnsupported (it cannot run here).
Status find_runnable(const WorkPlan& plan, bool (*supports)(CpuIsa isa) noexcept,
                     const KernelRow** kernel);

}  // namespace seesaw
