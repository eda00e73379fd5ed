#include "gpu/measure.h"

#include <algorithm>
#include <cmath>

namespace seesaw::bench {
namespace {

/// Calls that a graph holds: every set once where there are several, and not only a few.
int calls_of_graph(const Workload& workload) { return std::max(8, workload.num_sets()); }

void add(std::vector<double>& samples, const std::vector<double>& more) {
  samples.insert(samples.end(), more.begin(), more.end());
}

template <typename Call>
void measure_call(const Workload& workload, const Stream& stream, const EventTimer& timer,
                  const Pace& pace, const Call& call, Timings& timings) {
  timer.time_calls(stream, 2, call);
  for (int done = 0; done < pace.num_single; done += EventTimer::kMaxCalls)
    add(timings.single,
        timer.time_calls(stream, std::min(pace.num_single - done, EventTimer::kMaxCalls),
                         [&](int i) { call(done + i); }));

  const int num_calls = calls_of_graph(workload);
  const Graph graph(stream.get(), [&] {
    for (int i = 0; i < num_calls; ++i) call(i);
  });
  const auto launch = [&](int) { graph.launch(stream.get()); };
  const double once = timer.time_calls(stream, 2, launch).back();
  const int num_launches =
      std::clamp(static_cast<int>(pace.burst_seconds / once), 3, EventTimer::kMaxCalls);
  for (double seconds : timer.time_calls(stream, num_launches, launch))
    timings.burst.push_back(seconds / num_calls);
}

}  // namespace

void measure_round(Workload& workload, const Stream& stream, const EventTimer& timer,
                   const Pace& pace, Row& row) {
  const auto prepare = [&](int) { workload.prepare(); };
  const auto decode = [&](int i) { workload.decode(i); };
  const auto decode_host_plan = [&](int i) { workload.decode_host_plan(i); };
  Pace short_pace = pace;  // the planner's time hardly varies
  short_pace.burst_seconds = 0.002;
  measure_call(workload, stream, timer, short_pace, prepare, row.prepare);
  measure_call(workload, stream, timer, pace, decode, row.decode);
  measure_call(workload, stream, timer, pace, decode_host_plan, row.host_plan);
}

}  // namespace seesaw::bench
