// The comparison row by row: it agrees with the comparison of whole outputs, and notices.
#include "support/every_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/run_case.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

CaseSpec causal_spec(Layout layout) {
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

class EveryRow : public ::testing::TestWithParam<Layout> {
 protected:
  EveryRow() : rng_(make_rng()), case_(causal_spec(GetParam()), rng_) {}

  void SetUp() override {
    Executor executor = Executor::cpu(1);
    ASSERT_TRUE(run_case(case_, executor, {}, &report_));
  }
  ::testing::AssertionResult check(Agreement* out = nullptr, Agreement* lse = nullptr) {
    return check_every_row(case_, case_.reference(), arithmetic_of(report_.plan), out, lse);
  }

  Rng rng_;
  AttentionCase case_;
  RunReport report_;
};

TEST_P(EveryRow, AgreesWithTheWholeComparison) {
  Agreement out, lse;
  EXPECT_TRUE(check(&out, &lse));
  EXPECT_NEAR(out.max_bound_share, report_.out.max_bound_share, 1e-12);
  EXPECT_NEAR(lse.max_bound_share, report_.lse.max_bound_share, 1e-12);
  EXPECT_EQ(out.max_abs_error, report_.out.max_abs_error);
}

TEST_P(EveryRow, NamesTheFirstWrongRow) {
  StridedArray& outputs = case_.out_array();
  for (const std::vector<std::int64_t>& place :
       {std::vector<std::int64_t>{3, 2, 5, 31}, {3, 1, 4, 7}, {1, 0, 0, 0}}) {
    const std::int64_t wrong = outputs.offset(place);
    outputs.write(wrong, outputs.read(wrong) + 0.5);
    const auto noticed = check();
    ASSERT_FALSE(noticed);
    EXPECT_THAT(noticed.message(),
                HasSubstr("request " + std::to_string(place[0]) + ", query " +
                          std::to_string(place[1]) + ", head " + std::to_string(place[2])));
  }
}

TEST_P(EveryRow, NoticesNanAndAWrongLse) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::int64_t lse_at = case_.lse_array().offset({3, 4, 1});
  const double lse = case_.lse_array().read(lse_at);
  for (const double wrong : {lse + 0.01, nan, std::numeric_limits<double>::infinity()}) {
    case_.lse_array().write(lse_at, wrong);
    const auto noticed = check();
    ASSERT_FALSE(noticed);
    EXPECT_THAT(noticed.message(), HasSubstr("request 3, query 1, head 4 of 32 keys: lse"));
  }
  case_.lse_array().write(lse_at, lse);
  EXPECT_TRUE(check());
  case_.out_array().write(case_.out_array().offset({2, 2, 0, 5}), nan);
  EXPECT_FALSE(check());
}

TEST_P(EveryRow, NanIsWrongWhateverTheOracleSays) {
  algorithm::ReferenceOutputs reference = case_.reference();
  reference.out.front() = std::numeric_limits<double>::quiet_NaN();
  case_.out_array().write(0, reference.out.front());
  const auto noticed = check_every_row(case_, reference, arithmetic_of(report_.plan));
  ASSERT_FALSE(noticed);
  EXPECT_THAT(noticed.message(), HasSubstr("request 0, query 0, head 0"));
}

TEST_P(EveryRow, ShorterLengthsAreOtherResults) {
  algorithm::ReferenceInputs inputs = case_.reference_inputs();
  const std::vector<std::int32_t> shorter = {69, 0, 2, 33};
  inputs.kv_lengths = shorter;
  EXPECT_FALSE(
      check_every_row(case_, algorithm::reference_attention(inputs), arithmetic_of(report_.plan)));
}

INSTANTIATE_TEST_SUITE_P(Layouts, EveryRow,
                         ::testing::Values(Layout::kCompact, Layout::kGaps, Layout::kAlignedGaps));

}  // namespace
}  // namespace seesaw::testing
