// Comparison of a result with the oracle's, against bounds.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace seesaw::testing {

/// How alike two arrays are; over the elements that are finite in both.
struct Agreement {
  double max_abs_error = 0;
  double max_bound_share = 0;  // largest error as a share of its bound: passes at 1
  double cosine = 1;           // x.y / (|x| |y|); 1 of two zero arrays
  double gain = 1;             // x.y / y.y, y the expected one: 0.9 is a result shrunk by a tenth
};

/// Passes where NaN and either infinity stand at the same places and each finite element satisfies
/// |actual - expected| <= bound. A failure tells the first differing coordinate of `shape` with
/// both values, how many differ, and the agreement.
::testing::AssertionResult compare(std::string_view name, std::span<const double> actual,
                                   std::span<const double> expected, std::span<const double> bound,
                                   const std::vector<std::int64_t>& shape,
                                   Agreement* agreement = nullptr);

}  // namespace seesaw::testing
