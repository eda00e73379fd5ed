#include "hardware/device/cpu_identity.h"

#include <array>
#include <cstring>
#include <fstream>

#if defined(__x86_64__) || defined(__i386__)
#define SEESAW_HAS_CPUID 1
#include <cpuid.h>
#endif

namespace seesaw {
namespace {

void set_level(CacheSizes& sizes, int level, std::int64_t num_bytes) {
  if (level == 1) sizes.l1_bytes = num_bytes;
  if (level == 2) sizes.l2_bytes = num_bytes;
  if (level == 3) sizes.l3_bytes = num_bytes;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string name_from_proc(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(line.substr(0, colon));
    if (key == "model name" || key == "Model" || key == "cpu model") {
      return trimmed(line.substr(colon + 1));
    }
  }
  return "";
}

}  // namespace

CacheSizes cache_sizes_from_sysfs(const std::string& root) {
  CacheSizes sizes;
  for (int idx = 0;; ++idx) {
    const std::string folder =
        root + "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(idx) + "/";
    int level = 0;
    std::string type;
    std::int64_t size = 0;
    char unit = 'B';
    if (!(std::ifstream(folder + "level") >> level)) return sizes;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size >> unit;
    if (type == "Instruction") continue;
    const std::int64_t unit_bytes = unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1;
    set_level(sizes, level, size * unit_bytes);
  }
}

#if defined(SEESAW_HAS_CPUID)

CacheSizes cache_sizes_from_cpuid() {
  // Leaf 4 (Intel) and leaf 0x8000001D (AMD) have one form: Intel SDM volume 2A, CPUID; AMD64
  // Architecture Programmer's Manual volume 3, appendix E. The other vendor's leaf shows no cache.
  CacheSizes sizes;
  for (const unsigned leaf : {4u, 0x8000001Du}) {
    constexpr unsigned kMaxCaches = 16;
    for (unsigned idx = 0; idx < kMaxCaches; ++idx) {
      unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
      if (!__get_cpuid_count(leaf, idx, &eax, &ebx, &ecx, &edx)) break;
      const unsigned type = eax & 0x1f;
      if (type == 0) break;
      if (type == 2) continue;  // instructions
      const std::int64_t line_bytes = (ebx & 0xfff) + 1;
      const std::int64_t partitions = ((ebx >> 12) & 0x3ff) + 1;
      const std::int64_t ways = ((ebx >> 22) & 0x3ff) + 1;
      const std::int64_t sets = std::int64_t{ecx} + 1;
      set_level(sizes, static_cast<int>((eax >> 5) & 7), line_bytes * partitions * ways * sets);
    }
    if (sizes.l1_bytes > 0) break;
  }
  return sizes;
}

std::string cpu_name_from_cpuid() {
  constexpr unsigned kFirstLeaf = 0x80000002u;
  constexpr std::size_t kNumLeaves = 3;
  std::array<unsigned, 4 * kNumLeaves> words{};
  for (unsigned i = 0; i < kNumLeaves; ++i) {
    unsigned* w = words.data() + std::size_t{4} * i;
    if (!__get_cpuid(kFirstLeaf + i, &w[0], &w[1], &w[2], &w[3])) return "";
  }
  std::array<char, sizeof(words) + 1> text{};
  std::memcpy(text.data(), words.data(), sizeof(words));
  return trimmed(text.data());
}

#else

CacheSizes cache_sizes_from_cpuid() { return {}; }
std::string cpu_name_from_cpuid() { return ""; }

#endif

std::string cpu_name(const std::string& root) {
  if (std::string name = cpu_name_from_cpuid(); !name.empty()) return name;
  if (std::string name = name_from_proc(root); !name.empty()) return name;
#if defined(__aarch64__)
  return "Arm CPU (aarch64)";
#else
  return "unknown CPU";
#endif
}

}  // namespace seesaw
