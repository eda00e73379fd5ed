#include "harness/statistics.h"

#include <algorithm>
#include <cmath>

namespace seesaw::bench {
namespace {

double quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

}  // namespace

Summary summarize(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  return {.count = samples.size(),
          .min = samples.front(),
          .lower_quartile = quantile(samples, 0.25),
          .median = quantile(samples, 0.5),
          .upper_quartile = quantile(samples, 0.75),
          .max = samples.back()};
}

double median_of(std::vector<double> samples) { return summarize(std::move(samples)).median; }

}  // namespace seesaw::bench
