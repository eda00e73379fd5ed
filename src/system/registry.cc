#include "system/registry.h"

#include <fmt/format.h>

#include <array>

#include "seesaw/device.h"
#include "seesaw/registry.h"

namespace seesaw {
namespace {

constexpr KernelRow cpu_row(const char* name, CpuIsa isa) {
  return {.name = name,
          .device = DeviceKind::kCpu,
          .cpu_isa = isa,
          .why_not = cpu::why_not,
          .traits = cpu::kernel_traits,
          .launch = cpu::launch_attention};
}

constexpr std::array kTable = {
    cpu_row("cpu_avx512_bf16", CpuIsa::kAvx512Bf16),
    cpu_row("cpu_avx512", CpuIsa::kAvx512),
    cpu_row("cpu_avx2", CpuIsa::kAvx2),
    cpu_row("cpu_generic", CpuIsa::kGeneric),
};

constexpr const char* to_string(DeviceKind kind) {
  return kind == DeviceKind::kCpu ? "cpu" : "cuda";
}

/// Empty where the row serves the problem on the device.
std::string reason_against(const KernelRow& row, const AttentionProblem& problem,
                           const DeviceSpec& device) {
  if (row.device != device.kind) {
    return fmt::format("runs on {}, the device is {}", to_string(row.device),
                       to_string(device.kind));
  }
  if (row.cpu_isa > device.cpu_isa) {
    return fmt::format("needs {}, the device has {}", to_string(row.cpu_isa),
                       to_string(device.cpu_isa));
  }
  const char* cause = row.why_not(problem, row.cpu_isa);
  return cause == nullptr ? std::string() : std::string(cause);
}

}  // namespace

std::span<const KernelRow> kernel_table() noexcept { return kTable; }

const KernelRow* find_kernel(std::string_view name) noexcept {
  for (const KernelRow& row : kTable) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

Result<const KernelRow*> select_kernel(const AttentionProblem& problem, const DeviceSpec& device,
                                       std::vector<std::string>& reasons) {
  reasons.clear();
  for (const KernelRow& row : kTable) {
    const std::string cause = reason_against(row, problem, device);
    if (cause.empty()) {
      reasons.push_back(
          fmt::format("{}: taken, the first in order of preference that serves this", row.name));
      return &row;
    }
    reasons.push_back(fmt::format("{}: passed over, {}", row.name, cause));
  }
  std::string message = "problem: no kernel serves it on this device";
  for (const std::string& reason : reasons) message += fmt::format("; {}", reason);
  return Status(StatusCode::kUnsupported, std::move(message));
}

Status find_runnable(const WorkPlan& plan, bool (*supports)(CpuIsa isa) noexcept,
                     const KernelRow** kernel) {
  *kernel = find_kernel(plan.kernel_name);
  if (*kernel == nullptr || (*kernel)->cpu_isa != plan.cpu_isa) {
    return {StatusCode::kInvalidArgument,
            fmt::format("plan.kernel_name: is \"{}\" for {}, must be as plan() set it",
                        plan.kernel_name, to_string(plan.cpu_isa))};
  }
  if (supports(plan.cpu_isa)) return Status::ok();
  return {StatusCode::kUnsupported,
          fmt::format("plan.cpu_isa: is {}, must be one that this CPU can run: {} cannot run here",
                      to_string(plan.cpu_isa), plan.kernel_name)};
}

std::vector<KernelInfo> list_kernels() {
  constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  std::vector<KernelInfo> kernels;
  for (const KernelRow& row : kTable) {
    KernelInfo info{.name = row.name,
                    .device = row.device,
                    .cpu_isa = row.cpu_isa,
                    .is_supported = row.device == DeviceKind::kCpu && cpu_supports(row.cpu_isa),
                    .formats = {}};
    for (const DType q_dtype : kTypes) {
      for (const DType kv_dtype : kTypes) {
        AttentionProblem problem;
        problem.q_dtype = q_dtype;
        problem.kv_format = *plain_format(kv_dtype);
        if (row.why_not(problem, row.cpu_isa) == nullptr) {
          info.formats.push_back({q_dtype, problem.kv_format});
        }
      }
    }
    kernels.push_back(std::move(info));
  }
  return kernels;
}

}  // namespace seesaw
