#include "report/samples.h"

#include <algorithm>
#include <vector>

namespace seesaw::report {

Summary summarize(std::span<const double> samples) {
  if (samples.empty()) return {};
  std::vector<double> sorted(samples.begin(), samples.end());
  std::ranges::sort(sorted);
  const std::size_t middle = sorted.size() / 2;
  const double median =
      sorted.size() % 2 == 1 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
  return {.count = sorted.size(), .least = sorted.front(), .median = median, .most = sorted.back()};
}

}  // namespace seesaw::report
