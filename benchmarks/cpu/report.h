// A run's results for a person and for a program.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cpu/measure.h"
#include "harness/disturbance.h"
#include "harness/machine_facts.h"
#include "limits/machine_limits.h"

namespace seesaw::bench {

struct Report {
  MachineFacts machine;
  std::vector<std::pair<std::string, std::string>> settings;  // name and value
  std::vector<Limit> limits_before;
  std::vector<Limit> limits_after;
  std::vector<Row> rows;
  Disturbance disturbance;  // over the whole run
  double run_seconds = 0;
};

/// Tables for a terminal: machine, limits, Seesaw's rows, the baselines' rows.
std::string to_text(const Report& report);

/// Everything, with machine facts; throws std::runtime_error where the file cannot be written.
void write_json(const Report& report, const std::filesystem::path& path);

}  // namespace seesaw::bench
