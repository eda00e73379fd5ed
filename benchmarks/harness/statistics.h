// Order statistics of repeated measurements.
#pragma once

#include <cstddef>
#include <vector>

namespace seesaw::bench {

struct Summary {
  std::size_t count = 0;
  double min = 0;
  double lower_quartile = 0;
  double median = 0;
  double upper_quartile = 0;
  double max = 0;

  /// The distance of the quartiles as a share of the median: how noisy the machine was.
  double relative_spread() const {
    return median == 0 ? 0 : (upper_quartile - lower_quartile) / median;
  }
};

/// Quartiles interpolate between neighbours. All zero for no samples.
Summary summarize(std::vector<double> samples);

double median_of(std::vector<double> samples);

}  // namespace seesaw::bench
