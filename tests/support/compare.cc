#include "support/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace seesaw::testing {
namespace {

/// Error as a share of its bound; infinite where one value is finite and the other is not, or the
/// infinities differ.
double bound_share(double actual, double expected, double bound) {
  if (std::isnan(actual) && std::isnan(expected)) return 0;
  if (actual == expected) return 0;
  if (!std::isfinite(actual) || !std::isfinite(expected) || !(bound > 0)) return INFINITY;
  return std::abs(actual - expected) / bound;
}

std::vector<std::int64_t> coordinate(std::size_t element, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> place(shape.size());
  auto rest = static_cast<std::int64_t>(element);
  for (std::size_t i = shape.size(); i-- > 0; rest /= shape[i]) place[i] = rest % shape[i];
  return place;
}

Agreement measure(std::span<const double> actual, std::span<const double> expected,
                  std::span<const double> bound) {
  Agreement agreement;
  double xx = 0, xy = 0, yy = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    agreement.max_bound_share =
        std::max(agreement.max_bound_share, bound_share(actual[i], expected[i], bound[i]));
    if (!std::isfinite(actual[i]) || !std::isfinite(expected[i])) continue;
    agreement.max_abs_error = std::max(agreement.max_abs_error, std::abs(actual[i] - expected[i]));
    xx += actual[i] * actual[i];
    xy += actual[i] * expected[i];
    yy += expected[i] * expected[i];
  }
  if (yy > 0) agreement.gain = xy / yy;
  if (xx > 0 && yy > 0) agreement.cosine = xy / std::sqrt(xx) / std::sqrt(yy);
  return agreement;
}

}  // namespace

::testing::AssertionResult compare(std::string_view name, std::span<const double> actual,
                                   std::span<const double> expected, std::span<const double> bound,
                                   const std::vector<std::int64_t>& shape, Agreement* agreement) {
  const auto num_elements = static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
  if (actual.size() != num_elements || expected.size() != num_elements ||
      bound.size() != num_elements)
    return ::testing::AssertionFailure()
           << fmt::format("{}: {} actual, {} expected elements and {} bounds, must be {} of {}",
                          name, actual.size(), expected.size(), bound.size(), num_elements, shape);

  const Agreement measured = measure(actual, expected, bound);
  if (agreement != nullptr) *agreement = measured;
  std::size_t num_wrong = 0;
  std::size_t first_wrong = 0;
  for (std::size_t i = num_elements; i-- > 0;) {
    if (bound_share(actual[i], expected[i], bound[i]) <= 1) continue;
    ++num_wrong;
    first_wrong = i;
  }
  if (num_wrong == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << fmt::format(
             "{}{} of {}: is {:.9g}, must be {:.9g} within {:.3g}; {} of {} elements differ; "
             "largest "
             "error {:.3g}, {:.3g} of its bound; cosine {:.9f}, gain {:.6f}",
             name, coordinate(first_wrong, shape), shape, actual[first_wrong],
             expected[first_wrong], bound[first_wrong], num_wrong, num_elements,
             measured.max_abs_error, measured.max_bound_share, measured.cosine, measured.gain);
}

}  // namespace seesaw::testing
