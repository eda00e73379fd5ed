// Limits that Linux control groups (containers, batch systems) put on this process. `root` stands
// before /proc and /sys: "" but in tests.
#pragma once

#include <cstdint>
#include <string>

namespace seesaw {

/// The smallest CPU quota, in cores rounded up, of the groups that /proc/self/cgroup lists and of
/// their parents, versions 1 and 2; 0 where there is none.
int cgroup_core_limit(const std::string& root);

/// The smallest memory limit of the same groups in bytes; 0 where there is none.
std::int64_t cgroup_memory_limit(const std::string& root);

}  // namespace seesaw
