#include "hardware/device/available_cores.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace seesaw {
namespace {

namespace fs = std::filesystem;

int cores_of_quota(std::int64_t quota_us, std::int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return 0;  // -1 and "max" mean no limit
  const std::int64_t cores = (quota_us - 1) / period_us + 1;
  return static_cast<int>(std::min<std::int64_t>(cores, 1 << 20));
}

std::optional<std::int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Version 2: "QUOTA PERIOD", where QUOTA may be "max".
int limit_of_unified_group(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  std::int64_t quota_us = 0;
  std::int64_t period_us = 0;
  return file >> quota_us >> period_us ? cores_of_quota(quota_us, period_us) : 0;
}

// Version 1: two files.
int limit_of_cpu_controller(const fs::path& folder) {
  const auto quota_us = read_number(folder / "cpu.cfs_quota_us");
  const auto period_us = read_number(folder / "cpu.cfs_period_us");
  return quota_us && period_us ? cores_of_quota(*quota_us, *period_us) : 0;
}

int smaller_limit(int a, int b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

// The limit of group `path` below `mount` and of each of its parents. A container may be shown a
// path that only its host has; the groups that exist are those that count.
template <typename LimitOf>
int smallest_limit(const fs::path& mount, const fs::path& path, const LimitOf& limit_of) {
  int limit = limit_of(mount);
  fs::path folder = mount;
  for (const fs::path& name : path.relative_path()) {
    folder /= name;
    limit = smaller_limit(limit, limit_of(folder));
  }
  return limit;
}

bool lists_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

int cores_in_affinity_mask() {
#if defined(__linux__)
  // The kernel refuses a mask shorter than its own: try longer ones.
  for (std::size_t num_cpus = 1024; num_cpus <= (std::size_t{1} << 20); num_cpus *= 4) {
    std::vector<cpu_set_t> mask(num_cpus / (8 * sizeof(cpu_set_t)));
    const std::size_t mask_bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, mask_bytes, mask.data()) == 0) {
      return CPU_COUNT_S(mask_bytes, mask.data());
    }
    if (errno != EINVAL) break;
  }
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

int cgroup_core_limit(const std::string& root) {
  const fs::path mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  int limit = 0;
  // Lines are "ID:CONTROLLERS:PATH"; version 2 has one line with ID 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    if (controllers.empty()) {
      limit = smaller_limit(limit, smallest_limit(mount, path, limit_of_unified_group));
    } else if (lists_cpu(controllers)) {
      for (const std::string& name : {controllers, std::string("cpu")}) {
        limit = smaller_limit(limit, smallest_limit(mount / name, path, limit_of_cpu_controller));
      }
    }
  }
  return limit;
}

int available_cores() {
  const int in_mask = std::max(cores_in_affinity_mask(), 1);
  const int limit = cgroup_core_limit("");
  return limit == 0 ? in_mask : std::min(in_mask, limit);
}

}  // namespace seesaw
