#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "hardware/device/available_cores.h"
#include "hardware/device/control_group.h"
#include "hardware/device/cpu_identity.h"
#include "hardware/device/cpu_isa_choice.h"
#include "seesaw/device.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace seesaw {
namespace {

constexpr std::array kIsas = {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512,
                              CpuIsa::kAvx512Bf16};

std::string names_of(bool (*is_listed)(CpuIsa isa) noexcept) {
  std::string names;
  for (const CpuIsa isa : kIsas) {
    if (!is_listed(isa)) continue;
    if (!names.empty()) names += ", ";
    names += to_string(isa);
  }
  return names;
}

#if defined(__x86_64__)

constexpr bool has_all(std::uint64_t value, std::uint64_t bits) { return (value & bits) == bits; }
constexpr std::uint64_t bit(int i) { return std::uint64_t{1} << i; }

// The register states that the operating system saves when it switches threads.
std::uint64_t saved_states() noexcept {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

// Every set contains the lower ones. Bits: Intel SDM volume 2A, CPUID; volume 1, 13.3.
CpuIsa best_isa() noexcept {
  constexpr std::uint64_t kOsxsave = bit(27), kFma = bit(12), kAvx = bit(28), kF16c = bit(29);
  constexpr std::uint64_t kAvx2 = bit(5);
  constexpr std::uint64_t kAvx512FDqBwVl = bit(16) | bit(17) | bit(30) | bit(31);
  constexpr std::uint64_t kAvx512Bf16 = bit(5);
  constexpr std::uint64_t kYmmStates = bit(1) | bit(2);
  constexpr std::uint64_t kZmmStates = kYmmStates | bit(5) | bit(6) | bit(7);

  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return CpuIsa::kGeneric;
  if (!has_all(ecx, kOsxsave | kFma | kAvx | kF16c)) return CpuIsa::kGeneric;
  const std::uint64_t states = saved_states();
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return CpuIsa::kGeneric;
  if (!has_all(ebx, kAvx2) || !has_all(states, kYmmStates)) return CpuIsa::kGeneric;
  if (!has_all(ebx, kAvx512FDqBwVl) || !has_all(states, kZmmStates)) return CpuIsa::kAvx2;
  const unsigned last_subleaf = eax;
  if (last_subleaf < 1) return CpuIsa::kAvx512;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return CpuIsa::kAvx512;
  return has_all(eax, kAvx512Bf16) ? CpuIsa::kAvx512Bf16 : CpuIsa::kAvx512;
}

#else

CpuIsa best_isa() noexcept { return CpuIsa::kGeneric; }

#endif

std::int64_t memory_bytes() {
  const std::int64_t num_pages = sysconf(_SC_PHYS_PAGES);
  const std::int64_t page_bytes = sysconf(_SC_PAGESIZE);
  const std::int64_t installed = num_pages > 0 && page_bytes > 0 ? num_pages * page_bytes : 0;
  const std::int64_t limit = cgroup_memory_limit("");
  return limit == 0 ? installed : std::min(installed, limit);
}

}  // namespace

bool cpu_supports(CpuIsa isa) noexcept {
  static const CpuIsa best = best_isa();
  return isa <= best;
}

Result<CpuIsa> choose_cpu_isa(const char* wanted, bool (*is_supported)(CpuIsa isa) noexcept) {
  const std::string name = wanted == nullptr ? "" : wanted;
  CpuIsa best = CpuIsa::kGeneric;
  for (const CpuIsa isa : kIsas) {
    if (is_supported(isa)) best = isa;
    if (name != to_string(isa)) continue;
    if (is_supported(isa)) return isa;
    return Status(StatusCode::kInvalidArgument,
                  "SEESAW_CPU_ISA: is " + name +
                      ", must be one that this CPU can run: " + names_of(is_supported));
  }
  if (name.empty()) return best;
  return Status(StatusCode::kInvalidArgument, "SEESAW_CPU_ISA: is \"" + name +
                                                  "\", must be one of " +
                                                  names_of([](CpuIsa) noexcept { return true; }));
}

Result<DeviceSpec> probe_cpu() {
  const Result<CpuIsa> isa = choose_cpu_isa(std::getenv("SEESAW_CPU_ISA"), cpu_supports);
  if (!isa) return isa.status();
  DeviceSpec spec;
  spec.kind = DeviceKind::kCpu;
  spec.name = cpu_name("");
  spec.num_workers = available_cores();
  spec.memory_bytes = memory_bytes();
  spec.cpu_isa = isa.value();
  CacheSizes caches = cache_sizes_from_sysfs("");
  if (caches.l1_bytes == 0) caches = cache_sizes_from_cpuid();
  // Where neither knows, the specification's own defaults stand: what CPUs have at the least.
  if (caches.l1_bytes > 0) spec.l1_bytes = caches.l1_bytes;
  if (caches.l2_bytes > 0) spec.l2_bytes = caches.l2_bytes;
  spec.l3_bytes = caches.l3_bytes;
  return spec;
}

}  // namespace seesaw
