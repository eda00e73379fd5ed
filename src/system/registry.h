// The kernel table: what may serve a problem, in order of preference, with each row's own reason
// where it does not. To add a kernel is to add a row.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hardware/cpu/launch.h"
#include "hardware/cuda/decode_launch.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

struct CpuKernel {
  CpuIsa isa = CpuIsa::kGeneric;
  /// nullptr where the kernel serves the problem, else why it does not.
  const char* (*why_not)(const AttentionProblem& problem, CpuIsa isa) = nullptr;
  cpu::KernelTraits (*traits)(const AttentionProblem& problem, CpuIsa isa) = nullptr;
  void (*launch)(const WorkPlan& plan, const cpu::AttentionArgs& args,
                 cpu::ThreadPool& pool) = nullptr;
};

/// Dense decode on a CUDA device.
struct CudaKernel {
  int sm_arch = 0;
  bool runs_on_newer = false;
  /// Empty where the kernel serves the problem on the device, else why it does not.
  std::string (*why_not)(const AttentionProblem& problem, const DeviceSpec& device) = nullptr;
  cuda::DecodeTraits (*traits)(const AttentionProblem& problem) = nullptr;
  /// The same for the arrays of one call; nullptr where it takes any.
  std::string (*why_not_call)(const cuda::DecodeCall& call) = nullptr;
  Status (*launch)(const cuda::DecodeCall& call, cuda::StreamHandle stream) = nullptr;
  bool merges_pieces = false;  // takes DecodeCall::arrivals
};

struct KernelRow {
  const char* name = nullptr;
  std::variant<CpuKernel, CudaKernel> kernel;

  constexpr const CpuKernel* cpu() const noexcept { return std::get_if<CpuKernel>(&kernel); }
  constexpr const CudaKernel* cuda() const noexcept { return std::get_if<CudaKernel>(&kernel); }
  constexpr DeviceKind device() const noexcept {
    return cpu() != nullptr ? DeviceKind::kCpu : DeviceKind::kCuda;
  }
  /// The least, kGeneric, of a CUDA kernel.
  constexpr CpuIsa cpu_isa() const noexcept {
    return cpu() != nullptr ? cpu()->isa : CpuIsa::kGeneric;
  }
};

/// Every row, the preferred first.
std::span<const KernelRow> kernel_table() noexcept;

/// The row of that name, or nullptr.
const KernelRow* find_kernel(std::string_view name) noexcept;

/// Empty where the row serves the problem on the device, else why it does not.
std::string why_not(const KernelRow& row, const AttentionProblem& problem,
                    const DeviceSpec& device);

/// The first row for the device's kind that the device can run and that serves the problem.
/// `reasons` receives a line for each row passed over, then one for the row taken.
/// Errors: kUnsupported, with every such row's reason.
Result<const KernelRow*> select_kernel(const AttentionProblem& problem, const DeviceSpec& device,
                                       std::vector<std::string>& reasons);

/// The row that the plan was made for; a CPU row only if `supports` its instruction set: a plan may
/// come from another machine, or from a caller who changed it. Allocates only to word a failure.
/// Errors: kInvalidArgument (the plan names no kernel of its device), kUnsupported (it cannot run
/// here).
Status find_runnable(const WorkPlan& plan, bool (*supports)(CpuIsa isa) noexcept,
                     const KernelRow** kernel);

}  // namespace seesaw
