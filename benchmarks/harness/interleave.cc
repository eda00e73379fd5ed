#include "harness/interleave.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "harness/statistics.h"

namespace seesaw::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<double> burst(const Contender& contender, const Pace& pace) {
  if (contender.prepare) contender.prepare();
  std::this_thread::sleep_for(std::chrono::duration<double>(pace.settle_seconds));
  const auto warmup_begin = Clock::now();
  do {
    contender.sample();
  } while (seconds_since(warmup_begin) < pace.warmup_seconds);
  std::vector<double> samples;
  const auto begin = Clock::now();
  while (samples.size() < static_cast<std::size_t>(pace.least_calls) ||
         seconds_since(begin) < pace.burst_seconds) {
    samples.push_back(contender.sample());
  }
  return samples;
}

}  // namespace

Samples interleave(const std::vector<Contender>& contenders, const Pace& pace) {
  Samples samples(contenders.size());
  for (int round = 0; round < pace.num_rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const std::size_t turn = (i + static_cast<std::size_t>(round)) % contenders.size();
      samples[turn].push_back(burst(contenders[turn], pace));
    }
  }
  return samples;
}

std::vector<double> flatten(const std::vector<std::vector<double>>& rounds) {
  std::vector<double> all;
  for (const auto& round : rounds) all.insert(all.end(), round.begin(), round.end());
  return all;
}

double paired_ratio(const std::vector<std::vector<double>>& a,
                    const std::vector<std::vector<double>>& b) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < std::min(a.size(), b.size()); ++round) {
    ratios.push_back(median_of(a[round]) / median_of(b[round]));
  }
  return median_of(ratios);
}

double seconds_of(const std::function<void()>& fn) {
  const auto begin = Clock::now();
  fn();
  return seconds_since(begin);
}

}  // namespace seesaw::bench
