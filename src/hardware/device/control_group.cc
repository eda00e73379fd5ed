#include "hardware/device/control_group.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace seesaw {
namespace {

namespace fs = std::filesystem;

// Limits are positive; 0 is no limit.
std::int64_t smaller_limit(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

std::int64_t cores_of_quota(std::int64_t quota_us, std::int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return 0;  // -1 means no limit
  return (quota_us - 1) / period_us + 1;
}

// Fails on "max", which means no limit.
std::optional<std::int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Version 2: "QUOTA PERIOD".
std::int64_t core_limit_v2(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  std::int64_t quota_us = 0;
  std::int64_t period_us = 0;
  return file >> quota_us >> period_us ? cores_of_quota(quota_us, period_us) : 0;
}

std::int64_t core_limit_v1(const fs::path& folder) {
  const auto quota_us = read_number(folder / "cpu.cfs_quota_us");
  const auto period_us = read_number(folder / "cpu.cfs_period_us");
  return quota_us && period_us ? cores_of_quota(*quota_us, *period_us) : 0;
}

std::int64_t memory_limit_v2(const fs::path& folder) {
  return std::max<std::int64_t>(read_number(folder / "memory.max").value_or(0), 0);
}

// No limit shows as the largest multiple of the page size below 2^63; callers take the smaller of
// this and the machine's memory.
std::int64_t memory_limit_v1(const fs::path& folder) {
  return std::max<std::int64_t>(read_number(folder / "memory.limit_in_bytes").value_or(0), 0);
}

using LimitOf = std::int64_t (*)(const fs::path& folder);

struct Controller {
  std::string name;  // in version 1
  LimitOf limit_v1;
  LimitOf limit_v2;
};

// The limit of group `path` below `mount` and of each of its parents. A container may be shown a
// path that only its host has; the groups that exist are those that count.
std::int64_t smallest_limit(const fs::path& mount, const fs::path& path, LimitOf limit_of) {
  std::int64_t limit = limit_of(mount);
  fs::path folder = mount;
  for (const fs::path& name : path.relative_path()) {
    folder /= name;
    limit = smaller_limit(limit, limit_of(folder));
  }
  return limit;
}

// Lines of /proc/self/cgroup are "ID:CONTROLLERS:PATH"; version 2 has one, without controllers.
std::int64_t group_limit(const std::string& root, const Controller& controller) {
  const fs::path mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  std::int64_t limit = 0;
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string listed = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    if (listed.empty()) {
      limit = smaller_limit(limit, smallest_limit(mount, path, controller.limit_v2));
    } else if (("," + listed + ",").find("," + controller.name + ",") != std::string::npos) {
      // The folder bears the list's name, or a link of the controller's own name leads there.
      for (const std::string& name : {listed, controller.name}) {
        limit = smaller_limit(limit, smallest_limit(mount / name, path, controller.limit_v1));
      }
    }
  }
  return limit;
}

}  // namespace

int cgroup_core_limit(const std::string& root) {
  const std::int64_t limit = group_limit(root, {"cpu", core_limit_v1, core_limit_v2});
  return static_cast<int>(std::min<std::int64_t>(limit, 1 << 20));
}

std::int64_t cgroup_memory_limit(const std::string& root) {
  return group_limit(root, {"memory", memory_limit_v1, memory_limit_v2});
}

}  // namespace seesaw
