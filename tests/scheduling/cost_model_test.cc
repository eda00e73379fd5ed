#include "scheduling/cost_model.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <limits>

namespace seesaw::scheduling {
namespace {

const std::initializer_list<CpuIsa> kIsas = {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512,
                                             CpuIsa::kAvx512Bf16};

TEST(CostModel, IsLinearInTokensAndPaddedRows) {
  const CostModel cost{.item_fixed = 1000,
                       .item_row = 10,
                       .token = 7,
                       .token_row = 3,
                       .slot_row = 5,
                       .combine_fixed = 100,
                       .combine_split_row = 2,
                       .row_step = 8};
  EXPECT_EQ(cost.item_cost(1, 0), 1000 + 8 * 10);
  EXPECT_EQ(cost.item_cost(9, 100), 1000 + 16 * 10 + 100 * (7 + 16 * 3));
  EXPECT_EQ(cost.slot_cost(8), 40);
  EXPECT_EQ(cost.combine_cost(9, 3), 100 + 2 * 16 * 3);
  EXPECT_EQ(cost.split_overhead(8), 1000 + 80 + 40 + 16);
}

TEST(CostModel, ScalesWithTheHeadDimensions) {
  AttentionProblem wide;
  AttentionProblem narrow;
  narrow.d_qk = wide.d_qk / 4;
  narrow.d_v = wide.d_v / 4;
  for (const CpuIsa isa : kIsas) {
    const CostModel w = cost_model(wide, DeviceKind::kCpu, isa);
    const CostModel n = cost_model(narrow, DeviceKind::kCpu, isa);
    EXPECT_NEAR(static_cast<double>(w.token_row) / static_cast<double>(n.token_row), 4, 0.01);
    EXPECT_NEAR(static_cast<double>(w.token) / static_cast<double>(n.token), 4, 0.01);
    EXPECT_NEAR(static_cast<double>(w.slot_row) / static_cast<double>(n.slot_row), 4, 0.01);
    EXPECT_EQ(w.item_fixed, n.item_fixed);
  }
}

TEST(CostModel, EveryBackendCostsSomethingAndWiderVectorsNoMore) {
  const AttentionProblem problem;
  std::int64_t narrower = std::numeric_limits<std::int64_t>::max();
  for (const CpuIsa isa : kIsas) {
    const CostModel cost = cost_model(problem, DeviceKind::kCpu, isa);
    for (const std::int64_t field :
         {cost.item_fixed, cost.item_row, cost.token, cost.token_row, cost.slot_row,
          cost.combine_fixed, cost.combine_split_row, std::int64_t{cost.row_step}}) {
      EXPECT_GT(field, 0) << to_string(isa);
    }
    EXPECT_LE(cost.token_cost(64), narrower) << to_string(isa);
    narrower = cost.token_cost(64);
  }
  EXPECT_LT(cost_model(problem, DeviceKind::kCuda, CpuIsa::kGeneric).token_cost(64), narrower);
}

}  // namespace
}  // namespace seesaw::scheduling
