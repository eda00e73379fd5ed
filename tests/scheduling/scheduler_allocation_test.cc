// Planning again allocates nothing.
#include <gtest/gtest.h>

#include "scheduling/group_case.h"
#include "scheduling/schedule_case.h"
#include "support/allocation_hooks.h"

namespace seesaw::scheduling::testing {
namespace {

using ::seesaw::testing::FailingAllocations;
using ::seesaw::testing::make_rng;
using ::seesaw::testing::num_allocations;

Status plan_step(const ScheduleCase& c, WorkPlan& plan) {
  Status status = schedule(c.input(), plan);
  if (status) status = lay_out_workspace(plan, 4096);
  return status;
}

TEST(ScheduleAllocation, TheSameLengthsAgain) {
  auto rng = make_rng();
  for (int round = 0; round < 200; ++round) {
    const ScheduleCase c = random_case(rng);
    WorkPlan plan;
    ASSERT_TRUE(plan_step(c, plan));
    const std::int64_t before = num_allocations();
    for (int i = 0; i < 3; ++i) {
      const bool planned = plan_step(c, plan).is_ok();
      if (!planned) FAIL();
    }
    ASSERT_EQ(num_allocations(), before) << c.describe();
  }
}

// Every request grows by a token a step. Ranges never need more memory than their number of tiles
// says; fixed pieces become more now and then, and grow their memory in doublings.
TEST(ScheduleAllocation, StepsOfADecodeLoop) {
  auto rng = make_rng();
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    ScheduleCase c = decode_case(random_lengths(rng, Lengths::kRandom, 50, 5000), 7);
    c.settings.mode = mode;
    WorkPlan plan;
    ASSERT_TRUE(plan_step(c, plan));
    const std::int64_t before = num_allocations();
    for (int step = 0; step < 1000; ++step) {
      for (std::int32_t& length : c.kv_lengths) ++length;
      const bool planned = plan_step(c, plan).is_ok();
      if (!planned) FAIL();
    }
    const std::int64_t allowed = mode == ScheduleMode::kBatchInvariant ? 6 : 0;
    EXPECT_LE(num_allocations() - before, allowed) << to_string(mode);
  }
}

TEST(ScheduleAllocation, ShrinkingLengthsFitTheMemory) {
  for (const ScheduleMode mode : {ScheduleMode::kThroughput, ScheduleMode::kBatchInvariant}) {
    ScheduleCase c = decode_case(std::vector<std::int32_t>(100, 9000), 7);
    c.settings.mode = mode;
    WorkPlan plan;
    ASSERT_TRUE(plan_step(c, plan));
    for (std::int32_t length : {4000, 100, 0}) {
      c.kv_lengths.assign(100, length);
      const std::int64_t before = num_allocations();
      const bool planned = plan_step(c, plan).is_ok();
      EXPECT_TRUE(planned);
      EXPECT_EQ(num_allocations(), before) << to_string(mode) << " " << length;
    }
  }
}

TEST(ScheduleAllocation, OutOfMemoryLeavesAnEmptyPlan) {
  for (const ScheduleMode mode : {ScheduleMode::kThroughput, ScheduleMode::kBatchInvariant}) {
    ScheduleCase c = decode_case({5000, 70, 900}, 4);
    c.settings.mode = mode;
    int num_thrown = 0;
    for (std::int64_t countdown = 0;; ++countdown) {
      WorkPlan plan;
      bool thrown = false;
      try {
        const FailingAllocations failing(countdown);
        EXPECT_TRUE(plan_step(c, plan));
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      if (!thrown) break;
      ++num_thrown;
      EXPECT_TRUE(plan.items.empty() && plan.worker_begin.empty() && plan.combines.empty());
      EXPECT_EQ(plan.num_slots, 0);
    }
    EXPECT_GE(num_thrown, 3) << to_string(mode);
  }
}

TEST(ScheduleAllocation, CutsForGroupsOfOtherLengths) {
  auto rng = make_rng();
  for (int round = 0; round < 200; ++round) {
    GroupCase c = random_group_case(rng);
    GroupPlan plan;
    std::vector<std::int64_t> scratch;
    ASSERT_TRUE(c.choose(plan));
    ASSERT_TRUE(cut_groups(c.kv_lengths, plan, scratch));
    c.kv_lengths = random_group_lengths(rng, c.input.problem.batch, 100'000);
    const std::int64_t before = num_allocations();
    const bool planned = c.choose(plan).is_ok() && cut_groups(c.kv_lengths, plan, scratch).is_ok();
    if (!planned) FAIL();
    ASSERT_EQ(num_allocations(), before) << c.describe();
  }
}

}  // namespace
}  // namespace seesaw::scheduling::testing
