// The tests' own tools: what they call poisoned is poisoned, what they must catch they catch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/attention_case.h"
#include "support/compare.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int32_t kIntMax = std::numeric_limits<std::int32_t>::max();

::testing::AssertionResult compare_one(double actual, double expected, double bound = 0.5) {
  return compare("x", {&actual, 1}, {&expected, 1}, {&bound, 1}, {1});
}

TEST(Compare, BoundsAreInclusiveAndZeroMeansEqual) {
  EXPECT_TRUE(compare_one(1.5, 1.0));
  EXPECT_FALSE(compare_one(1.5001, 1.0));
  EXPECT_FALSE(compare_one(0.4999, 1.0));
  EXPECT_TRUE(compare_one(2.0, 2.0, 0.0));
  EXPECT_FALSE(compare_one(2.0 + 1e-15, 2.0, 0.0));
  EXPECT_FALSE(compare_one(1.0, 2.0, kNan));
}

TEST(Compare, NanAndInfinitiesMustStandAtTheSamePlaces) {
  EXPECT_TRUE(compare_one(kNan, kNan));
  EXPECT_TRUE(compare_one(kInfinity, kInfinity));
  EXPECT_TRUE(compare_one(-kInfinity, -kInfinity));
  for (double other : {0.0, kNan, -kInfinity}) {
    EXPECT_FALSE(compare_one(kInfinity, other, kInfinity));
    EXPECT_FALSE(compare_one(other, kInfinity, kInfinity));
  }
  EXPECT_FALSE(compare_one(0.0, kNan, kInfinity));
  EXPECT_FALSE(compare_one(kNan, 0.0, kInfinity));
}

TEST(Compare, TellsTheFirstDifferingCoordinateWithBothValues) {
  const std::vector<double> expected{0, 1, 2, 3, 4, 5};
  std::vector<double> actual = expected;
  actual[4] = 4.25;
  actual[5] = kNan;
  const std::vector<double> bound(6, 0.125);
  const auto result = compare("lse", actual, expected, bound, {2, 3});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.message(), HasSubstr("lse[1, 1] of [2, 3]: is 4.25, must be 4 within 0.125"));
  EXPECT_THAT(result.message(), HasSubstr("2 of 6 elements differ"));
}

TEST(Compare, MeasuresGainAndCosine) {
  const std::vector<double> expected{1, -2, 3};
  const std::vector<double> actual{0.9, -1.8, 2.7};
  const std::vector<double> bound(3, 1.0);
  Agreement agreement;
  EXPECT_TRUE(compare("x", actual, expected, bound, {3}, &agreement));
  EXPECT_NEAR(agreement.gain, 0.9, 1e-12);
  EXPECT_NEAR(agreement.cosine, 1.0, 1e-12);
  EXPECT_NEAR(agreement.max_abs_error, 0.3, 1e-12);
  EXPECT_NEAR(agreement.max_bound_share, 0.3, 1e-12);
}

TEST(Compare, ADifferentNumberOfElementsFails) {
  const std::vector<double> three(3, 0.0);
  EXPECT_FALSE(compare("x", three, three, three, {2, 2}));
  EXPECT_TRUE(compare("x", {}, {}, {}, {0, 5}));
}

TEST(StridedArray, AWriteIntoAGapIsSeen) {
  StridedArray array(DType::kBFloat16, {2, 3}, {5, 1}, 1);
  for (std::int64_t row = 0; row < 2; ++row)
    for (std::int64_t column = 0; column < 3; ++column) array.write(array.offset({row, column}), 1);
  EXPECT_TRUE(array.gaps_are_untouched());
  for (std::int64_t gap : {-1, 3, 4}) {
    array.write(gap, 0.0);
    EXPECT_FALSE(array.gaps_are_untouched()) << gap;
    array.poison();
    EXPECT_TRUE(array.gaps_are_untouched());
  }
}

CaseSpec small_spec() {
  CaseSpec spec;
  spec.problem.h_q = 4;
  spec.problem.h_kv = 2;
  spec.problem.d_qk = 16;
  spec.problem.d_v = 8;
  spec.problem.page_size = 4;
  spec.kv_lengths = {5, 0, 8, 1};
  return spec;
}

TEST(AttentionCase, OnlyReferencedSlotsHoldNumbers) {
  for (Sparsity sparsity : {Sparsity::kDense, Sparsity::kTopK}) {
    CaseSpec spec = small_spec();
    spec.problem.sparsity = sparsity;
    spec.problem.top_k = sparsity == Sparsity::kTopK ? 3 : 0;
    Rng rng = make_rng();
    AttentionCase attention_case(spec, rng);
    const auto values = attention_case.kv_cache().values();
    const auto num_numbers =
        std::count_if(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
    const std::int64_t num_slots = num_numbers / (2 * 16);
    EXPECT_GT(static_cast<std::int64_t>(values.size()) / (2 * 16), num_slots);
    if (sparsity == Sparsity::kDense) {
      EXPECT_EQ(num_slots, 5 + 8 + 1);
    } else {
      EXPECT_LE(num_slots, 3 + 3 + 1);
    }
    for (double x : attention_case.out()) EXPECT_TRUE(std::isnan(x));
    for (double x : attention_case.lse()) EXPECT_TRUE(std::isnan(x));
    for (double x : attention_case.reference().out) EXPECT_TRUE(std::isfinite(x));
  }
}

TEST(AttentionCase, PageIdsBehindARequestAreGarbage) {
  Rng rng = make_rng();
  AttentionCase attention_case(small_spec(), rng);
  const StridedArray& table = attention_case.block_table();
  const std::int64_t num_used[] = {2, 0, 2, 1};
  std::vector<bool> is_taken(7, false);
  for (std::int64_t request = 0; request < 4; ++request) {
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto page = static_cast<std::int64_t>(table.read(table.offset({request, i})));
      const bool is_in_pool = page >= 0 && page < 7;  // five used, two spare
      EXPECT_EQ(is_in_pool, i < num_used[request]);
      if (!is_in_pool) continue;
      EXPECT_FALSE(is_taken[static_cast<std::size_t>(page)]);
      is_taken[static_cast<std::size_t>(page)] = true;
    }
  }
}

TEST(AttentionCase, IndicesBehindTheirLengthAreIntMax) {
  CaseSpec spec = small_spec();
  spec.problem.sparsity = Sparsity::kTopK;
  spec.problem.top_k = 6;
  spec.problem.s_q = 2;
  spec.has_top_k_lengths = true;
  Rng rng = make_rng();
  AttentionCase attention_case(spec, rng);
  const auto lengths = attention_case.decode_args().cache.top_k_lengths;
  const StridedArray& indices = attention_case.indices();
  for (std::int64_t request = 0; request < 4; ++request) {
    const std::int32_t length = static_cast<const std::int32_t*>(lengths.data)[request];
    for (std::int64_t query = 0; query < 2; ++query)
      for (std::int64_t column = 0; column < 6; ++column) {
        const double index = indices.read(indices.offset({request, query, column}));
        EXPECT_EQ(index == kIntMax, column >= length);
      }
  }
}

TEST(AttentionCase, EqualSeedsGiveEqualCases) {
  Rng first = make_rng(1);
  Rng second = make_rng(1);
  Rng third = make_rng(2);
  AttentionCase a(small_spec(), first);
  AttentionCase b(small_spec(), second);
  AttentionCase c(small_spec(), third);
  EXPECT_EQ(a.q().values(), b.q().values());
  EXPECT_EQ(a.reference().out, b.reference().out);
  EXPECT_NE(a.q().values(), c.q().values());
}

TEST(AttentionCase, ScoresHaveTheShapeThatIsAskedFor) {
  Rng rng = make_rng();
  CaseSpec spec = small_spec();
  spec.problem.d_qk = 64;
  spec.problem.d_v = 48;
  spec.problem.q_dtype = DType::kFloat32;
  spec.problem.kv_format = KvFormat::kFloat32;
  spec.kv_lengths = {100};
  spec.stddev = 0.5;
  const auto rows_of_shape = [&](ScoreShape shape, double shift) {
    spec.shape = shape;
    spec.shift = shift;
    return AttentionCase(spec, rng).reference();
  };
  for (ScoreShape shape :
       {ScoreShape::kDominantFirst, ScoreShape::kDominantMiddle, ScoreShape::kDominantLast}) {
    for (const auto& row : rows_of_shape(shape, 12).rows) EXPECT_GT(row.weight_norm, 0.9);
  }
  for (const auto& row : rows_of_shape(ScoreShape::kNormal, 12).rows)
    EXPECT_LT(row.weight_norm, 0.3);
  for (double lse : rows_of_shape(ScoreShape::kOffset, -50).lse)
    EXPECT_NEAR(lse, -50 + std::log(100), 1);
  for (const auto& row : rows_of_shape(ScoreShape::kRising, 12).rows)
    EXPECT_NEAR(row.logit_range, 12, 5);
  for (const auto& row : rows_of_shape(ScoreShape::kEqualKeys, 12).rows)
    EXPECT_EQ(row.logit_range, 0);
  const auto equal_values = rows_of_shape(ScoreShape::kEqualValues, 12);
  for (const auto& row : equal_values.rows) EXPECT_GT(row.logit_range, 0.1);
  for (double deviation : equal_values.deviation) EXPECT_NEAR(deviation, 0, 1e-12);
}

}  // namespace
}  // namespace seesaw::testing
