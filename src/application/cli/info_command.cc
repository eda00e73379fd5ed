// `seesaw info`: what this machine and this build offer.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/standard_output.h"
#include "report/table.h"
#include "report/units.h"
#include "seesaw/device.h"
#include "seesaw/executor.h"
#include "seesaw/registry.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/version.h"

namespace seesaw::cli {
namespace {

using nlohmann::ordered_json;

struct Facts {
  DeviceSpec cpu;
  std::vector<DeviceSpec> cuda;
  std::vector<KernelInfo> kernels;
};

bool runs_on(const KernelInfo& kernel, const DeviceSpec& device) {
  if (kernel.device != device.kind) return false;
  return kernel.sm_arch == device.sm_arch ||
         (kernel.runs_on_newer && kernel.sm_arch < device.sm_arch);
}

/// Empty where the kernel can run here.
std::string why_not(const KernelInfo& kernel, const DeviceSpec& cpu) {
  if (kernel.device == DeviceKind::kCuda) {
    if (kernel.is_supported) return "";
    if (!is_built_with_cuda()) return "this build has no CUDA";
    return fmt::format("no device of sm_{}{}", kernel.sm_arch,
                       kernel.runs_on_newer ? " or newer" : "");
  }
  if (!kernel.is_supported) return fmt::format("this CPU lacks {}", to_string(kernel.cpu_isa));
  if (kernel.cpu_isa > cpu.cpu_isa) {
    return fmt::format("SEESAW_CPU_ISA allows no more than {}", to_string(cpu.cpu_isa));
  }
  return "";
}

/// "bfloat16 with bfloat16": query and cache types.
std::string formats_text(const KernelInfo& kernel) {
  constexpr std::size_t kAllPairs = 9;  // float32, bfloat16 and float16 with each other
  if (kernel.formats.size() == kAllPairs) return "float32, bfloat16, float16, in any pairing";
  std::vector<std::string> pairs;
  for (const KernelFormats& pair : kernel.formats) {
    pairs.push_back(fmt::format("{} with {}", to_string(pair.q_dtype), to_string(pair.kv_format)));
  }
  return fmt::format("{}", fmt::join(pairs, ", "));
}

/// Names of the kernels that run on a CUDA device, the preferred first.
std::vector<std::string> kernels_for(const DeviceSpec& device,
                                     const std::vector<KernelInfo>& kernels) {
  std::vector<std::string> names;
  for (const KernelInfo& kernel : kernels) {
    if (runs_on(kernel, device)) names.push_back(kernel.name);
  }
  return names;
}

std::string cuda_text(const Facts& facts) {
  if (!is_built_with_cuda()) return "  not looked for: this build has no CUDA\n";
  if (facts.cuda.empty()) return "  none seen (no driver or no device)\n";
  std::string text;
  for (const DeviceSpec& device : facts.cuda) {
    const std::vector<std::string> names = kernels_for(device, facts.kernels);
    report::Table table({{""}, {""}});
    table.add_row({fmt::format("  {}", device.cuda_ordinal), device.name});
    table.add_row({"", fmt::format("sm_{}, {} multiprocessors, {} of memory, L2 {}", device.sm_arch,
                                   device.num_workers, report::bytes_text(device.memory_bytes),
                                   report::bytes_text(device.l2_bytes))});
    table.add_row({"", fmt::format("{} of shared memory a block",
                                   report::bytes_text(device.shared_memory_bytes))});
    table.add_row({"", names.empty() ? "no kernel runs on it"
                                     : fmt::format("dense decode by {}", fmt::join(names, ", "))});
    text += table.text();
  }
  return text;
}

std::string info_text(const Facts& facts) {
  const DeviceSpec& cpu = facts.cpu;
  const std::string l3 = cpu.l3_bytes > 0 ? ", L3 " + report::bytes_text(cpu.l3_bytes) : "";
  report::Table machine({{""}, {""}});
  machine.add_row({"  name", cpu.name});
  machine.add_row({"  cores", fmt::format("{} for this process", cpu.num_workers)});
  machine.add_row({"  instruction set", to_string(cpu.cpu_isa)});
  machine.add_row(
      {"  caches", fmt::format("L1 {} and L2 {} a core{}", report::bytes_text(cpu.l1_bytes),
                               report::bytes_text(cpu.l2_bytes), l3)});
  machine.add_row({"  memory", report::bytes_text(cpu.memory_bytes)});

  report::Table kernels({{"  name"}, {"runs here"}, {"query with cache"}});
  for (const KernelInfo& kernel : facts.kernels) {
    const std::string cause = why_not(kernel, cpu);
    kernels.add_row(
        {"  " + kernel.name, cause.empty() ? "yes" : "no: " + cause, formats_text(kernel)});
  }
  return fmt::format(
      "seesaw {}\n\nCPU\n{}\nCUDA devices\n{}\nKernels, in order of preference\n{}\n"
      "Limits\n"
      "  d_qk up to {}, d_v up to d_qk; any batch, query length and page size from 1;\n"
      "  query heads a multiple of KV heads; up to {} threads\n",
      SEESAW_VERSION, machine.text(), cuda_text(facts), kernels.text(),
      report::with_commas(kMaxHeadDim), report::with_commas(Executor::kMaxThreads));
}

ordered_json info_json(const Facts& facts) {
  const DeviceSpec& cpu = facts.cpu;
  ordered_json json;
  json["version"] = SEESAW_VERSION;
  json["cpu"] = {{"name", cpu.name},
                 {"cores", cpu.num_workers},
                 {"isa", to_string(cpu.cpu_isa)},
                 {"l1_bytes", cpu.l1_bytes},
                 {"l2_bytes", cpu.l2_bytes},
                 {"l3_bytes", cpu.l3_bytes},
                 {"memory_bytes", cpu.memory_bytes}};
  json["built_with_cuda"] = is_built_with_cuda();
  json["cuda_devices"] = ordered_json::array();
  for (const DeviceSpec& device : facts.cuda) {
    json["cuda_devices"].push_back({{"ordinal", device.cuda_ordinal},
                                    {"name", device.name},
                                    {"sm_arch", device.sm_arch},
                                    {"multiprocessors", device.num_workers},
                                    {"memory_bytes", device.memory_bytes},
                                    {"l2_bytes", device.l2_bytes},
                                    {"shared_memory_bytes", device.shared_memory_bytes},
                                    {"kernels", kernels_for(device, facts.kernels)}});
  }
  json["kernels"] = ordered_json::array();
  for (const KernelInfo& kernel : facts.kernels) {
    const std::string cause = why_not(kernel, cpu);
    ordered_json entry = {{"name", kernel.name},
                          {"device", kernel.device == DeviceKind::kCpu ? "cpu" : "cuda"},
                          {"runs_here", cause.empty()}};
    if (kernel.device == DeviceKind::kCpu) {
      entry["needs_isa"] = to_string(kernel.cpu_isa);
    } else {
      entry["sm_arch"] = kernel.sm_arch;
      entry["runs_on_newer"] = kernel.runs_on_newer;
    }
    if (!cause.empty()) entry["why_not"] = cause;
    entry["formats"] = ordered_json::array();
    for (const KernelFormats& pair : kernel.formats) {
      entry["formats"].push_back(
          {{"query", to_string(pair.q_dtype)}, {"cache", to_string(pair.kv_format)}});
    }
    json["kernels"].push_back(std::move(entry));
  }
  json["limits"] = {{"max_head_dim", kMaxHeadDim}, {"max_threads", Executor::kMaxThreads}};
  return json;
}

}  // namespace

ExitCode run(const InfoArgs& args) {
  auto cpu = probe_cpu();
  if (!cpu) return fail(cpu.status());
  const Facts facts{std::move(cpu).value(), probe_cuda(), list_kernels()};
  constexpr auto kReplace = ordered_json::error_handler_t::replace;  // a device's name is its own
  const std::string text = args.style == OutputStyle::kJson
                               ? info_json(facts).dump(2, ' ', false, kReplace) + "\n"
                               : info_text(facts);
  const Status written = write_output(text);
  return written ? ExitCode::kOk : fail(written);
}

}  // namespace seesaw::cli
