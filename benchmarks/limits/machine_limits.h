// The machine's own limits, as one table.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/memory.h"
#include "harness/statistics.h"
#include "harness/thread_team.h"

namespace seesaw::bench {

struct Limit {
  std::string name;
  std::string unit;  // "GB/s" or "GFLOP/s"
  int num_threads = 1;
  Summary rate;
};

struct LimitOptions {
  std::vector<int> threads;
  int num_rounds = 7;
  std::int64_t memory_bytes = 0;  // read for the memory bandwidth: many times the last cache
  std::int64_t l2_bytes = 0;      // a core; 0: not measured
  std::int64_t l3_bytes = 0;
};

/// Read bandwidth of memory, L3 and L2, and the peak of each arithmetic this CPU has. `team` gives
/// a team of that many threads.
std::vector<Limit> measure_limits(const LimitOptions& options,
                                  const std::function<ThreadTeam&(int)>& team);

}  // namespace seesaw::bench
