// Runs a work group: every contender of it and the peaks they are compared with, in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "baselines/onednn_products.h"
#include "baselines/openblas_products.h"
#include "cpu/cold_cache.h"
#include "cpu/work_list.h"
#include "harness/interleave.h"
#include "harness/statistics.h"
#include "harness/thread_team.h"
#include "limits/arithmetic_peak.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {

/// Seesaw set against a baseline of the same threads: above 1 where Seesaw is quicker.
struct Comparison {
  double of_medians = 0;
  double paired = 0;  // paired_ratio of the harness
};

/// One contender's result.
struct Row {
  Work work;
  std::size_t group_idx = 0;  // rows of one group were measured in turn
  std::string contender;      // "seesaw", "onednn", "openblas"
  std::optional<CpuIsa> isa;  // Seesaw's
  int num_threads = 1;
  std::string detail;   // kernel, or the baseline's blocking
  std::string failure;  // why there is no measurement
  Summary seconds;
  double gflops = 0;  // by the median
  double kv_gbps = 0;
  double relative_error = 0;
  bool is_correct = false;
  std::string peak_name;
  Summary peak_gflops;  // measured between the calls of this row's group; empty: no such limit
  std::optional<Comparison> to_onednn;
  std::optional<Comparison> to_openblas;
  std::optional<Comparison> to_one_thread;  // speed-up over the same contender with one thread

  double percent_of_peak() const {
    return peak_gflops.count == 0 ? 0 : 100 * gflops / peak_gflops.median;
  }
};

/// What is kept from group to group.
class Bench {
 public:
  struct Options {
    std::vector<int> threads;
    Pace pace;
    std::int64_t pool_bytes = 0;  // of each of the two pools
    std::uint64_t seed = 0;
  };

  Bench(DeviceSpec device, Options options);

  std::vector<Row> measure(const WorkGroup& group);
  ThreadTeam& team(int num_threads);
  const Options& options() const { return options_; }

 private:
  ColdCache& cache(DType dtype);
  Executor& executor(int num_threads);

  DeviceSpec device_;
  Options options_;
  OneDnnLibrary onednn_;
  OpenBlasLibrary openblas_;
  std::unique_ptr<ColdCache> cache_;
  std::map<int, Executor> executors_;
  std::map<int, std::unique_ptr<ThreadTeam>> teams_;
};

}  // namespace seesaw::bench
