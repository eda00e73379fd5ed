// How much a core, or several, can read a second from memory or from a level of the cache.
#pragma once

#include <cstddef>
#include <span>

#include "harness/thread_team.h"

namespace seesaw::bench {

/// One pass over `bytes`, each thread its own contiguous share: GB/s over all. A thread walks its
/// share as several streams side by side, which keeps more lines in flight than one does.
/// Data is in a cache level or in memory as earlier passes left it: to measure memory, let the
/// span be many times the last level; to measure a level, fill it and call again.
double measure_read_gbps(std::span<const std::byte> bytes, ThreadTeam& team, int num_streams,
                         int num_passes = 1);

}  // namespace seesaw::bench
