// Contenders measured in turn. On a machine whose clock and neighbours drift, two figures may be
// compared only if they were taken side by side: each round gives every contender one short burst.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace seesaw::bench {

struct Contender {
  std::string name;
  /// Before each burst, not timed: thread counts and the like. May be empty.
  std::function<void()> prepare;
  /// One call of the thing measured; returns the measurement (seconds, or a rate).
  std::function<double()> sample;
};

/// How long a contender is measured in a round.
struct Pace {
  int num_rounds = 20;
  /// Sleep before a burst. Worker threads of the contender before (OpenMP's, OpenBLAS's, any
  /// pool's) spin for some milliseconds before they sleep and would take cores away.
  double settle_seconds = 0.015;
  /// Calls without record: they wake the contender's own threads and bring its code and its
  /// buffers (never the cold cache) back.
  double warmup_seconds = 0.002;
  double burst_seconds = 0.010;
  int least_calls = 3;
};

/// [contender][round][call].
using Samples = std::vector<std::vector<std::vector<double>>>;

/// Each round begins with another contender, so that none always follows the same one.
Samples interleave(const std::vector<Contender>& contenders, const Pace& pace);

/// All calls of a contender.
std::vector<double> flatten(const std::vector<std::vector<double>>& rounds);

/// Median over the rounds of (median of a in the round) / (median of b in the round): drift that
/// both felt cancels.
double paired_ratio(const std::vector<std::vector<double>>& a,
                    const std::vector<std::vector<double>>& b);

/// Seconds that one call of fn takes.
double seconds_of(const std::function<void()>& fn);

}  // namespace seesaw::bench
