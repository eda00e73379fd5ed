#include "scheduling/workspace.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/seed.h"

namespace seesaw::scheduling {
namespace {

using ::seesaw::testing::make_rng;
using ::seesaw::testing::uniform;

WorkPlan plan_of(std::int64_t num_slots, std::size_t num_workers) {
  WorkPlan plan;
  plan.rows_per_tile = 16;
  plan.num_slots = static_cast<std::int32_t>(num_slots);
  plan.worker_begin.assign(num_workers + 1, 0);
  return plan;
}

TEST(Workspace, DecodeOfDeepSeekIsAsDocumented) {
  WorkPlan plan = plan_of(3, 2);
  ASSERT_TRUE(lay_out_workspace(plan, 1000));
  EXPECT_EQ(plan.slots_offset, 0u);
  EXPECT_EQ(plan.slot_stride, 4u * (16 * 512 + 16 + 16));
  EXPECT_EQ(plan.q_starts_offset, 3 * plan.slot_stride);
  EXPECT_EQ(plan.scratch_offset, 3 * plan.slot_stride);
  EXPECT_EQ(plan.scratch_stride, 1024u);
  EXPECT_EQ(plan.workspace_bytes, 3 * plan.slot_stride + 2 * 1024);
}

TEST(Workspace, PrefillHoldsAQueryOffsetARequest) {
  WorkPlan plan = plan_of(0, 1);
  plan.problem.phase = Phase::kPrefill;
  plan.problem.batch = 9;
  ASSERT_TRUE(lay_out_workspace(plan, 0));
  EXPECT_EQ(plan.q_starts_offset, 0u);
  EXPECT_EQ(plan.scratch_offset, 128u);  // 72 bytes, aligned
  EXPECT_EQ(plan.workspace_bytes, 128u);
}

TEST(Workspace, NothingToDoNeedsNothing) {
  WorkPlan plan = plan_of(0, 4);
  ASSERT_TRUE(lay_out_workspace(plan, 0));
  EXPECT_EQ(plan.workspace_bytes, 0u);
}

TEST(Workspace, RegionsAreAlignedDisjointAndLargeEnough) {
  auto rng = make_rng();
  for (int round = 0; round < 500; ++round) {
    WorkPlan plan = plan_of(uniform(rng, 0, 50), static_cast<std::size_t>(uniform(rng, 1, 200)));
    plan.rows_per_tile = static_cast<std::int32_t>(uniform(rng, 1, 128));
    plan.problem.d_v = uniform(rng, 1, 1024);
    plan.problem.batch = uniform(rng, 0, 70'000);
    if (uniform(rng, 0, 1) == 0) plan.problem.phase = Phase::kPrefill;
    const auto scratch = static_cast<std::size_t>(uniform(rng, 0, 1 << 20));
    ASSERT_TRUE(lay_out_workspace(plan, scratch));
    for (const std::size_t offset : {plan.slots_offset, plan.slot_stride, plan.q_starts_offset,
                                     plan.scratch_offset, plan.scratch_stride}) {
      ASSERT_EQ(offset % kWorkspaceAlignment, 0u);
    }
    const auto rows = static_cast<std::size_t>(plan.rows_per_tile);
    const auto d_v = static_cast<std::size_t>(plan.problem.d_v);
    ASSERT_GE(plan.slot_stride, 4 * (rows * d_v + 2 * rows));
    ASSERT_LT(plan.slot_stride, 4 * (rows * d_v + 2 * rows) + kWorkspaceAlignment);
    const std::size_t slots_end =
        plan.slots_offset + static_cast<std::size_t>(plan.num_slots) * plan.slot_stride;
    ASSERT_GE(plan.q_starts_offset, slots_end);
    const std::size_t starts =
        plan.problem.phase == Phase::kPrefill ? static_cast<std::size_t>(plan.problem.batch) : 0;
    ASSERT_GE(plan.scratch_offset, plan.q_starts_offset + 8 * starts);
    ASSERT_GE(plan.scratch_stride, scratch);
    ASSERT_EQ(
        plan.workspace_bytes,
        plan.scratch_offset + static_cast<std::size_t>(plan.num_workers()) * plan.scratch_stride);
    ASSERT_LE(plan.workspace_bytes,
              slots_end + 8 * starts + kWorkspaceAlignment +
                  static_cast<std::size_t>(plan.num_workers()) * (scratch + kWorkspaceAlignment));
  }
}

TEST(Workspace, BeyondTheAddressSpaceIsAnErrorThatNamesItsParts) {
  WorkPlan plan = plan_of(std::numeric_limits<std::int32_t>::max(), 2);
  plan.rows_per_tile = 65'536;
  plan.problem.d_v = 1 << 20;
  plan.workspace_bytes = 77;
  const Status status = lay_out_workspace(plan, 1000);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("65536 rows of d_v = 1048576"), std::string::npos)
      << status.message();
  EXPECT_EQ(plan.workspace_bytes, 77u);  // nothing was changed

  WorkPlan scratchy = plan_of(0, 2);
  EXPECT_EQ(lay_out_workspace(scratchy, std::numeric_limits<std::size_t>::max() - 10).code(),
            StatusCode::kUnsupported);
  EXPECT_EQ(lay_out_workspace(scratchy, std::numeric_limits<std::size_t>::max() / 2 + 1).code(),
            StatusCode::kUnsupported);
}

TEST(Workspace, PoolsOverFourGibibytesAreCounted) {
  WorkPlan plan = plan_of(1'000'000, 1);
  plan.rows_per_tile = 128;
  ASSERT_TRUE(lay_out_workspace(plan, 0));
  EXPECT_EQ(plan.workspace_bytes, 1'000'000ull * 4 * (128 * 512 + 256));
}

}  // namespace
}  // namespace seesaw::scheduling
