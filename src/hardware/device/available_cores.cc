#include "hardware/device/available_cores.h"

#include <algorithm>
#include <thread>

#include "hardware/device/control_group.h"

#if defined(__linux__)
#include <sched.h>

#include <cerrno>
#include <cstddef>
#include <vector>
#endif

namespace seesaw {
namespace {

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

int available_cores() {
  const int in_mask = std::max(cores_in_affinity_mask(), 1);
  const int limit = cgroup_core_limit("");
  return limit == 0 ? in_mask : std::min(in_mask, limit);
}

}  // namespace seesaw
