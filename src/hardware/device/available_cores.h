// How many cores this process may keep busy.
#pragma once

namespace seesaw {

/// Cores in the affinity mask, or fewer where a control group's CPU quota allows less (rounded up:
/// a quota of 1.5 cores keeps two threads busy part of the time); at least 1.
int available_cores();

}  // namespace seesaw
