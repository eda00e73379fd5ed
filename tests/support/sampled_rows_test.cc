// Sampled comparison: it samples where it says, agrees with the whole comparison, and notices.
#include "support/sampled_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <tuple>

#include "support/run_case.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

CaseSpec sampled_spec(Layout layout) {
  CaseSpec spec;
  spec.problem.s_q = 3;
  spec.problem.h_q = 6;
  spec.problem.h_kv = 2;
  spec.problem.d_qk = 48;
  spec.problem.d_v = 32;
  spec.problem.page_size = 4;
  spec.problem.mask = Mask::kCausal;
  spec.problem.has_attn_sink = true;
  spec.kv_lengths = {70, 0, 2, 33};
  spec.layout = layout;
  return spec;
}

TEST(SampledRows, AllWhereTheBudgetAllowsElseAFewAndNoneTwice) {
  Rng rng = make_rng();
  AttentionCase attention_case(sampled_spec(Layout::kCompact), rng);
  const std::vector<std::int32_t>& lengths = attention_case.spec().kv_lengths;
  EXPECT_EQ(sample_rows(attention_case, lengths, 1'000'000, rng).size(), 4 * 3 * 6u);
  for (std::int64_t budget : {1, 300, 1500}) {
    std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> places;
    const auto rows = sample_rows(attention_case, lengths, budget, rng);
    EXPECT_GE(rows.size(), 2u);
    EXPECT_LE(static_cast<std::int64_t>(rows.size()), 2 + budget / 64);
    for (const SampledRow& row : rows) {
      EXPECT_LT(row.request_idx, 4);
      EXPECT_LT(row.query_idx, 3);
      EXPECT_LT(row.head_idx, 6);
      places.insert({row.request_idx, row.query_idx, row.head_idx});
    }
    EXPECT_EQ(places.size(), rows.size());
  }
}

TEST(SampledRows, AgreeWithTheWholeComparisonAndNoticeAWrongRow) {
  Executor executor = Executor::cpu(1);
  for (Layout layout : {Layout::kCompact, Layout::kGaps, Layout::kAlignedGaps}) {
    Rng rng = make_rng();
    AttentionCase attention_case(sampled_spec(layout), rng);
    const std::vector<std::int32_t>& lengths = attention_case.spec().kv_lengths;
    RunReport report;
    ASSERT_TRUE(run_case(attention_case, executor, {}, &report));
    const auto rows = sample_rows(attention_case, lengths, 1'000'000, rng);
    Agreement out;
    EXPECT_TRUE(check_rows(attention_case, lengths, rows, arithmetic_of(report.plan), &out));
    EXPECT_NEAR(out.max_bound_share, report.out.max_bound_share, 1e-9);

    StridedArray& outputs = attention_case.out_array();
    const std::int64_t wrong = outputs.offset({3, 1, 4, 7});
    const double right = outputs.read(wrong);
    outputs.write(wrong, right + 0.5);
    const auto noticed = check_rows(attention_case, lengths, rows, arithmetic_of(report.plan));
    ASSERT_FALSE(noticed);
    EXPECT_THAT(noticed.message(), HasSubstr("request 3, query 1, head 4"));
    outputs.write(wrong, NAN);  // seen without any row being compared
    EXPECT_THAT(check_rows(attention_case, lengths, {}, arithmetic_of(report.plan)).message(),
                HasSubstr("out[3, 1, 4, 7] is NaN"));
  }
}

TEST(SampledRows, ShorterLengthsAreOtherResults) {
  Executor executor = Executor::cpu(1);
  Rng rng = make_rng();
  AttentionCase attention_case(sampled_spec(Layout::kCompact), rng);
  RunReport report;
  ASSERT_TRUE(run_case(attention_case, executor, {}, &report));
  const std::vector<std::int32_t> shorter = {69, 0, 2, 33};
  const auto rows = sample_rows(attention_case, shorter, 1'000'000, rng);
  EXPECT_FALSE(check_rows(attention_case, shorter, rows, arithmetic_of(report.plan)));
}

}  // namespace
}  // namespace seesaw::testing
