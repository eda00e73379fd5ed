// Measures one workload.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gpu/workload.h"
#include "harness/statistics.h"

namespace seesaw::bench {

struct Pace {
  int num_rounds = 3;           // over all shapes
  int num_single = 21;          // calls a round, each timed alone
  double burst_seconds = 0.06;  // calls back to back a round
};

/// Seconds of one call, gathered over the rounds.
struct Timings {
  std::vector<double> single;  // between two events
  std::vector<double> burst;   // of many in one graph, divided by their number
};

struct Row {
  Shape shape;
  std::string kernel;
  ScheduleMode mode = ScheduleMode::kThroughput;
  std::int32_t group_size = 1;
  std::int32_t num_groups = 1;
  int num_sets = 1;
  double operations = 0;
  double bytes = 0;
  Timings decode;     // planned on the device: kernel and combine
  Timings host_plan;  // planned on the host: combine only where something is split
  bool host_plan_splits = false;
  Timings prepare;             // the planner on the device
  double relative_error = -1;  // of some rows against the oracle; < 0: not checked
  bool is_correct = true;
  std::string failure;  // why there is no measurement
};

/// Adds a round's samples to `row`.
void measure_round(Workload& workload, const Stream& stream, const EventTimer& timer,
                   const Pace& pace, Row& row);

/// Computes some rows with the float64 oracle and compares: sets relative_error and is_correct.
void check_result(Workload& workload, const Pool& pool, const Stream& stream, Mask mask, Row& row);

}  // namespace seesaw::bench
