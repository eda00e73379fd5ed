// How many cores this process may keep busy.
#pragma once

#include <string>

namespace seesaw {

/// Cores in the affinity mask, or fewer where a control group's CPU quota allows less (rounded up:
/// a quota of 1.5 cores keeps two threads busy part of the time); at least 1.
int available_cores();

/// The smallest CPU quota, in cores rounded up, of the control groups that
/// `root`/proc/self/cgroup lists and of their parents, versions 1 and 2; 0 where there is none.
/// `root` is "" but in tests.
int cgroup_core_limit(const std::string& root);

}  // namespace seesaw
