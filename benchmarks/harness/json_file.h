// What the benchmarks' JSON reports have in common. Needs nlohmann-json, which the harness's
// library does not.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "harness/statistics.h"

namespace seesaw::bench {

using Json = nlohmann::ordered_json;

inline Json to_json(const Summary& summary) {
  return {{"count", summary.count},
          {"min", summary.min},
          {"lower_quartile", summary.lower_quartile},
          {"median", summary.median},
          {"upper_quartile", summary.upper_quartile},
          {"max", summary.max}};
}

/// Throws std::runtime_error where the file cannot be written: better before minutes of measuring
/// than behind them. A file that is there keeps its contents.
inline void require_writable(const std::filesystem::path& path) {
  if (!std::ofstream(path, std::ios::app)) {
    throw std::runtime_error("--json: cannot write " + path.string());
  }
}

inline void write_json_file(const Json& json, const std::filesystem::path& path) {
  std::ofstream file(path);
  file << json.dump(1) << '\n';
  file.flush();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace seesaw::bench
