#include "harness/machine_facts.h"

#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "build_facts.h"

namespace seesaw::bench {
namespace {

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The first processor's entries of /proc/cpuinfo.
std::map<std::string, std::string> cpu_info() {
  std::ifstream file("/proc/cpuinfo");
  std::map<std::string, std::string> entries;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    entries[key] = value == std::string::npos ? "" : line.substr(value);
  }
  return entries;
}

std::vector<std::string> vector_extensions(const std::string& flags) {
  constexpr std::array kPrefixes = {"sse", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16"};
  std::istringstream words(flags);
  std::vector<std::string> found;
  for (std::string word; words >> word;) {
    if (std::any_of(kPrefixes.begin(), kPrefixes.end(),
                    [&](const char* prefix) { return word.starts_with(prefix); })) {
      found.push_back(word);
    }
  }
  return found;
}

std::int64_t size_with_suffix(const std::string& text) {
  const std::int64_t value = std::strtoll(text.c_str(), nullptr, 10);
  switch (text.empty() ? ' ' : text.back()) {
    case 'K':
      return value << 10;
    case 'M':
      return value << 20;
    case 'G':
      return value << 30;
    default:
      return value;
  }
}

std::vector<std::pair<std::string, std::int64_t>> cache_sizes() {
  std::vector<std::pair<std::string, std::int64_t>> caches;
  for (int i = 0;; ++i) {
    const std::filesystem::path at = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i);
    if (!std::filesystem::exists(at)) return caches;
    const std::string type = first_line(at / "type");
    const std::string suffix = type == "Data" ? "d" : type == "Instruction" ? "i" : "";
    caches.emplace_back("L" + first_line(at / "level") + suffix,
                        size_with_suffix(first_line(at / "size")));
  }
}

std::string chosen_in_brackets(const std::string& line) {
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']');
  return open < close ? line.substr(open + 1, close - open - 1) : line;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

}  // namespace

int num_available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

MachineFacts gather_machine_facts(int argc, char** argv) {
  auto cpu = cpu_info();
  MachineFacts facts;
  facts.cpu_model = cpu["model name"];
  facts.cpu_family = cpu["cpu family"] + "/" + cpu["model"] + "/" + cpu["stepping"];
  const std::string flags = cpu["flags"] + cpu["Features"];
  facts.isa = vector_extensions(flags);
  facts.is_virtual_machine = flags.find("hypervisor") != std::string::npos;
  facts.num_cores = num_available_cores();
  facts.caches = cache_sizes();
  struct sysinfo memory {};
  if (sysinfo(&memory) == 0) {
    facts.memory_bytes = static_cast<std::int64_t>(memory.totalram) * memory.mem_unit;
  }
  facts.transparent_huge_pages =
      chosen_in_brackets(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  utsname system{};
  if (uname(&system) == 0) {
    facts.kernel = std::string(system.sysname) + " " + system.release + " " + system.machine;
  }
  double load = 0;
  if (getloadavg(&load, 1) == 1) facts.load_average = load;
  facts.compiler = SEESAW_BENCH_COMPILER;
  facts.build_type = SEESAW_BENCH_BUILD_TYPE;
  facts.compiler_flags = SEESAW_BENCH_COMPILER_FLAGS;
  facts.git_commit = SEESAW_BENCH_GIT_COMMIT;
  facts.command_line = std::filesystem::path(argv[0]).filename().string();
  for (int i = 1; i < argc; ++i) facts.command_line += " " + std::string(argv[i]);
  facts.date = utc_now();
  return facts;
}

}  // namespace seesaw::bench
