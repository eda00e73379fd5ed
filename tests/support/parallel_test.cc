#include "support/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "support/seed.h"

namespace seesaw::testing {
namespace {

TEST(ForEachPart, TakesEachNumberOnce) {
  for (std::int64_t total : {0, 1, 7, 8, 9, 1000})
    for (std::int64_t part : {1, 8, 2000}) {
      std::vector<int> count(static_cast<std::size_t>(total), 0);
      std::mutex mutex;
      for_each_part(total, part, [&](std::int64_t first, std::int64_t num) {
        EXPECT_LE(num, part);
        const std::scoped_lock lock(mutex);
        for (std::int64_t i = first; i < first + num; ++i) ++count.at(static_cast<std::size_t>(i));
      });
      EXPECT_EQ(std::count(count.begin(), count.end(), 1), total);
    }
}

TEST(ForEachPart, ThrowsWhatAPartThrew) {
  const auto fail = [](std::int64_t first, std::int64_t) {
    if (first >= 30) throw std::runtime_error("part");
  };
  EXPECT_THROW(for_each_part(100, 1, fail), std::runtime_error);
}

TEST(NormalStream, HasMeanZeroAndDeviationOneAndStreamsOfItsOwn) {
  constexpr int kCount = 200'000;
  double sum = 0, square_sum = 0, product_sum = 0;
  NormalStream stream(test_seed(), 3);
  NormalStream next(test_seed(), 4);
  NormalStream again(test_seed(), 3);
  for (int i = 0; i < kCount; ++i) {
    const double x = stream();
    ASSERT_EQ(again(), x);
    sum += x;
    square_sum += x * x;
    product_sum += x * next();
  }
  const double six_deviations = 6 / std::sqrt(kCount);
  EXPECT_NEAR(sum / kCount, 0, six_deviations);
  EXPECT_NEAR(square_sum / kCount, 1, six_deviations * std::sqrt(2));
  EXPECT_NEAR(product_sum / kCount, 0, six_deviations);
}

}  // namespace
}  // namespace seesaw::testing
