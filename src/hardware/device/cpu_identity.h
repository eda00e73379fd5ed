// What the CPU says of itself. `root` stands before /proc and /sys: "" but in tests.
#pragma once

#include <cstdint>
#include <string>

namespace seesaw {

/// Bytes of the data or unified cache of each level as one core sees it; 0 where unknown.
struct CacheSizes {
  std::int64_t l1_bytes = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t l3_bytes = 0;
};

/// From the kernel's /sys; a virtual machine may show nothing there.
CacheSizes cache_sizes_from_sysfs(const std::string& root);

/// From the cpuid instruction; nothing but on x86.
CacheSizes cache_sizes_from_cpuid();

/// The model's name, trimmed: from cpuid, else from /proc/cpuinfo, else the architecture's.
std::string cpu_name(const std::string& root);

/// The model's name as cpuid tells it; empty but on x86.
std::string cpu_name_from_cpuid();

}  // namespace seesaw
