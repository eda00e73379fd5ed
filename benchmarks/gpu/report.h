// A run's results for a person and for a program.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gpu/limits.h"
#include "gpu/measure.h"
#include "harness/machine_facts.h"

namespace seesaw::bench {

/// Another library's figures for the same shapes on the same device: see README.md.
struct PeerRow {
  std::string name;  // a shape's
  double single_us = 0;
  double burst_us = 0;
};
struct Peer {
  std::string name;
  std::vector<PeerRow> rows;
  const PeerRow* find(const std::string& shape) const;
};

struct Report {
  MachineFacts machine;
  DeviceSpec device;
  std::vector<std::pair<std::string, std::string>> settings;  // name and value
  DeviceLimits limits_before;
  DeviceLimits limits_after;
  std::vector<Row> rows;
  std::optional<Peer> peer;
  double run_seconds = 0;
};

/// Throws std::runtime_error.
Peer read_peer(const std::filesystem::path& path);

std::string to_text(const Report& report);

void write_json(const Report& report, const std::filesystem::path& path);

}  // namespace seesaw::bench
