// How much the rest of the machine got in the way while something was measured.
#pragma once

#include <cstdint>

namespace seesaw::bench {

/// Counters since the process or the machine started; subtract two to learn about a span.
struct Disturbance {
  std::int64_t preemptions = 0;  // times the kernel took a core from a thread of this process
  double other_cpu_seconds = 0;  // CPU time of everything else on this machine
  double stolen_seconds = 0;     // time the hypervisor gave to other machines

  Disturbance operator-(const Disturbance& earlier) const {
    return {preemptions - earlier.preemptions, other_cpu_seconds - earlier.other_cpu_seconds,
            stolen_seconds - earlier.stolen_seconds};
  }
};

Disturbance disturbance_so_far();

}  // namespace seesaw::bench
