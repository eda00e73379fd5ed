#include "harness/disturbance.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

namespace seesaw::bench {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

Disturbance disturbance_so_far() {
  Disturbance result;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  result.preemptions = usage.ru_nivcsw;

  // The first line of /proc/stat: "cpu", then ticks as user, nice, system, idle, iowait, irq,
  // softirq, steal.
  std::ifstream file("/proc/stat");
  std::string label;
  std::array<double, 8> ticks{};
  file >> label;
  for (double& value : ticks) file >> value;
  const double ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
  result.stolen_seconds = ticks[7] / ticks_a_second;
  result.other_cpu_seconds =
      busy / ticks_a_second - seconds_of(usage.ru_utime) - seconds_of(usage.ru_stime);
  return result;
}

}  // namespace seesaw::bench
