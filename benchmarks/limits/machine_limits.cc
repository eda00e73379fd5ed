#include "limits/machine_limits.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "limits/arithmetic_peak.h"
#include "limits/read_bandwidth.h"

namespace seesaw::bench {
namespace {

constexpr double kBurstSeconds = 0.002;

/// The quickest number of streams, in turn, by the median.
Summary best_bandwidth(std::span<const std::byte> bytes, ThreadTeam& team, int num_rounds,
                       int num_passes) {
  constexpr int kStreams[] = {1, 2, 4};
  std::vector<std::vector<double>> rates(std::size(kStreams));
  for (int round = 0; round < num_rounds; ++round) {
    for (std::size_t i = 0; i < std::size(kStreams); ++i) {
      rates[i].push_back(measure_read_gbps(bytes, team, kStreams[i], num_passes));
    }
  }
  Summary best;
  for (const std::vector<double>& samples : rates) {
    const Summary summary = summarize(samples);
    if (summary.median > best.median) best = summary;
  }
  return best;
}

}  // namespace

std::vector<Limit> measure_limits(const LimitOptions& options,
                                  const std::function<ThreadTeam&(int)>& team) {
  HugeBuffer buffer(options.memory_bytes);
  std::memset(buffer.data(), 0x3f, static_cast<std::size_t>(buffer.size()));
  const auto first_bytes = [&](std::int64_t num_bytes) {
    return std::span<const std::byte>(buffer.data(),
                                      static_cast<std::size_t>(std::min(num_bytes, buffer.size())));
  };
  std::vector<Limit> limits;
  for (int num_threads : options.threads) {
    ThreadTeam& threads = team(num_threads);
    const int rounds = options.num_rounds;
    limits.push_back({"memory read", "GB/s", num_threads,
                      best_bandwidth(first_bytes(buffer.size()), threads, rounds, 1)});
    // Half a level, so that what else the core holds does not push data out of it.
    if (options.l3_bytes > 0) {
      limits.push_back({"L3 read", "GB/s", num_threads,
                        best_bandwidth(first_bytes(options.l3_bytes / 2), threads, rounds, 8)});
    }
    if (options.l2_bytes > 0) {
      limits.push_back(
          {"L2 read", "GB/s", num_threads,
           best_bandwidth(first_bytes(options.l2_bytes / 2 * num_threads), threads, rounds, 64)});
    }
    for (Arithmetic arithmetic : kAllArithmetic) {
      if (!cpu_has(arithmetic)) continue;
      std::vector<double> rates;
      rates.reserve(std::size_t{3} * static_cast<std::size_t>(rounds));
      for (int round = 0; round < 3 * rounds; ++round) {
        rates.push_back(measure_gflops(arithmetic, threads, kBurstSeconds));
      }
      limits.push_back({to_string(arithmetic), "GFLOP/s", num_threads, summarize(rates)});
    }
  }
  return limits;
}

}  // namespace seesaw::bench
