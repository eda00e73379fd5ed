// What repeated measurements say.
#pragma once

#include <cstddef>
#include <span>

namespace seesaw::report {

struct Summary {
  std::size_t count = 0;
  double least = 0.0;
  double median = 0.0;
  double most = 0.0;
};

/// All zero of no samples; the median of an even count is the mean of the two in the middle.
Summary summarize(std::span<const double> samples);

}  // namespace seesaw::report
