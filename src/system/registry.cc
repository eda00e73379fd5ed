#include "system/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "seesaw/device.h"
#include "seesaw/registry.h"

namespace seesaw {
namespace {

constexpr KernelRow cpu_row(const char* name, CpuIsa isa) {
  return {.name = name,
          .kernel = CpuKernel{.isa = isa,
                              .why_not = cpu::why_not,
                              .traits = cpu::kernel_traits,
                              .launch = cpu::launch_attention}};
}

constexpr std::array kTable = {
    KernelRow{.name = "sm90_decode_dense",
              .kernel = CudaKernel{.sm_arch = 90,
                                   .runs_on_newer = false,
                                   .why_not = cuda::why_not_sm90,
                                   .traits = cuda::sm90_traits,
                                   .why_not_call = cuda::why_not_sm90_call,
                                   .launch = cuda::launch_decode_sm90,
                                   .merges_pieces = true}},
    KernelRow{.name = "portable_decode_dense",
              .kernel = CudaKernel{.sm_arch = 80,
                                   .runs_on_newer = true,
                                   .why_not = cuda::why_not_portable,
                                   .traits = cuda::portable_traits,
                                   .why_not_call = nullptr,
                                   .launch = cuda::launch_decode_portable}},
    cpu_row("cpu_avx512_bf16", CpuIsa::kAvx512Bf16),
    cpu_row("cpu_avx512", CpuIsa::kAvx512),
    cpu_row("cpu_avx2", CpuIsa::kAvx2),
    cpu_row("cpu_generic", CpuIsa::kGeneric),
};

constexpr const char* to_string(DeviceKind kind) {
  return kind == DeviceKind::kCpu ? "cpu" : "cuda";
}

bool runs_on(const CudaKernel& kernel, const DeviceSpec& device) {
  return kernel.sm_arch == device.sm_arch ||
         (kernel.runs_on_newer && kernel.sm_arch < device.sm_arch);
}

/// A device that a row asks no more of: for what the kernel serves, apart from any machine.
DeviceSpec device_made_for(const KernelRow& row) {
  DeviceSpec device;
  device.kind = row.device();
  device.cpu_isa = row.cpu_isa();
  if (row.cuda() != nullptr) {
    constexpr int kHopperSharedBytes = 227 << 10;
    device.sm_arch = row.cuda()->sm_arch;
    device.shared_memory_bytes = kHopperSharedBytes;
  }
  return device;
}

std::vector<KernelFormats> formats_of(const KernelRow& row) {
  constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  const DeviceSpec device = device_made_for(row);
  std::vector<KernelFormats> formats;
  for (const DType q_dtype : kTypes) {
    for (const DType kv_dtype : kTypes) {
      AttentionProblem problem;
      problem.q_dtype = problem.out_dtype = q_dtype;
      problem.kv_format = *plain_format(kv_dtype);
      if (why_not(row, problem, device).empty()) formats.push_back({q_dtype, problem.kv_format});
    }
  }
  return formats;
}

bool can_run_here(const KernelRow& row, const std::vector<DeviceSpec>& cuda_devices) {
  if (row.cpu() != nullptr) return cpu_supports(row.cpu_isa());
  return std::any_of(cuda_devices.begin(), cuda_devices.end(),
                     [&](const DeviceSpec& device) { return runs_on(*row.cuda(), device); });
}

}  // namespace

std::span<const KernelRow> kernel_table() noexcept { return kTable; }

const KernelRow* find_kernel(std::string_view name) noexcept {
  for (const KernelRow& row : kTable) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

std::string why_not(const KernelRow& row, const AttentionProblem& problem,
                    const DeviceSpec& device) {
  if (row.device() != device.kind) {
    return fmt::format("runs on {}, the device is {}", to_string(row.device()),
                       to_string(device.kind));
  }
  if (const CudaKernel* kernel = row.cuda()) {
    if (!runs_on(*kernel, device)) {
      return fmt::format("needs sm_{}{}, the device has sm_{}", kernel->sm_arch,
                         kernel->runs_on_newer ? " or newer" : "", device.sm_arch);
    }
    return kernel->why_not(problem, device);
  }
  if (row.cpu_isa() > device.cpu_isa) {
    return fmt::format("needs {}, the device has {}", to_string(row.cpu_isa()),
                       to_string(device.cpu_isa));
  }
  const char* cause = row.cpu()->why_not(problem, row.cpu_isa());
  return cause == nullptr ? std::string() : std::string(cause);
}

Result<const KernelRow*> select_kernel(const AttentionProblem& problem, const DeviceSpec& device,
                                       std::vector<std::string>& reasons) {
  reasons.clear();
  for (const KernelRow& row : kTable) {
    if (row.device() != device.kind) continue;
    const std::string cause = why_not(row, problem, device);
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
  if (*kernel == nullptr || (*kernel)->cpu_isa() != plan.cpu_isa ||
      (*kernel)->device() != plan.device.kind) {
    return {StatusCode::kInvalidArgument,
            fmt::format(
                "plan.kernel_name: is \"{}\" for {}, must be as plan() set it", plan.kernel_name,
                plan.device.kind == DeviceKind::kCpu ? to_string(plan.cpu_isa) : "a CUDA device")};
  }
  if ((*kernel)->cuda() != nullptr || supports(plan.cpu_isa)) return Status::ok();
  return {StatusCode::kUnsupported,
          fmt::format("plan.cpu_isa: is {}, must be one that this CPU can run: {} cannot run here",
                      to_string(plan.cpu_isa), plan.kernel_name)};
}

std::vector<KernelInfo> list_kernels() {
  const std::vector<DeviceSpec> cuda_devices = probe_cuda();
  std::vector<KernelInfo> kernels;
  for (const KernelRow& row : kTable) {
    const CudaKernel* cuda = row.cuda();
    kernels.push_back({.name = row.name,
                       .device = row.device(),
                       .cpu_isa = row.cpu_isa(),
                       .sm_arch = cuda != nullptr ? cuda->sm_arch : 0,
                       .runs_on_newer = cuda != nullptr && cuda->runs_on_newer,
                       .is_supported = can_run_here(row, cuda_devices),
                       .formats = formats_of(row)});
  }
  return kernels;
}

}  // namespace seesaw
