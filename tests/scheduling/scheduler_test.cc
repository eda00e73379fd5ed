// Schedules small enough to be read, and the limits.
#include "scheduling/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "scheduling/deal.h"
#include "scheduling/schedule_checks.h"

namespace seesaw::scheduling::testing {
namespace {

constexpr std::int32_t kMostInt32 = 2'147'483'647;

WorkPlan schedule_or_fail(const ScheduleCase& c) {
  WorkPlan plan;
  const Status status = schedule(c.input(), plan);
  EXPECT_TRUE(status) << status.message();
  if (status) EXPECT_EQ(find_flaw(c.input(), plan), "") << c.describe();
  return plan;
}

std::vector<std::int64_t> tokens_by_worker(const WorkPlan& plan) {
  std::vector<std::int64_t> tokens;
  for (std::size_t w = 0; w + 1 < plan.worker_begin.size(); ++w) {
    std::int64_t sum = 0;
    for (std::int32_t i = plan.worker_begin[w]; i < plan.worker_begin[w + 1]; ++i) {
      const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
      sum += item.kv_end - item.kv_begin;
    }
    tokens.push_back(sum);
  }
  return tokens;
}

double most_tokens_over_mean(const WorkPlan& plan) {
  const auto tokens = tokens_by_worker(plan);
  const double mean =
      std::accumulate(tokens.begin(), tokens.end(), 0.0) / static_cast<double>(tokens.size());
  return static_cast<double>(*std::max_element(tokens.begin(), tokens.end())) / mean;
}

TEST(Schedule, OneLongRequestIsSharedByTwoWorkers) {
  const WorkPlan plan = schedule_or_fail(decode_case({4096}, 2));
  EXPECT_EQ(tokens_by_worker(plan), (std::vector<std::int64_t>{2048, 2048}));
  ASSERT_EQ(plan.combines.size(), 1u);
  EXPECT_EQ(plan.combines[0].num_splits, 2);
  EXPECT_EQ(plan.num_slots, 2);
}

TEST(Schedule, EqualRequestsAreNotSplit) {
  const WorkPlan plan = schedule_or_fail(decode_case(std::vector<std::int32_t>(64, 1000), 8));
  EXPECT_EQ(tokens_by_worker(plan), std::vector<std::int64_t>(8, 8000));
  EXPECT_TRUE(plan.combines.empty());
  EXPECT_EQ(plan.num_slots, 0);
}

TEST(Schedule, ShortRequestsAreDealtWhereRangesAreUneven) {
  // As ranges no better than 80 (20 + 60 | 40 | 60): the request of 20 keys goes with that of 40.
  const WorkPlan plan = schedule_or_fail(decode_case({2000, 6000, 4000, 6000}, 3, 16, 6016));
  auto tokens = tokens_by_worker(plan);
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{6000, 6000, 6000}));
  EXPECT_TRUE(plan.combines.empty());
}

TEST(Schedule, AGiantAmongThousandsIsSplitAndTheOthersAreNot) {
  std::vector<std::int32_t> lengths(3000, 40);
  lengths[1234] = 1'000'000;
  const WorkPlan plan = schedule_or_fail(decode_case(lengths, 16));
  EXPECT_LE(plan.combines.size(), 2u);
  EXPECT_GT(plan.num_slots, 8);  // over most of the 16 workers, whatever the others cost
  for (const CombineItem& combine : plan.combines) EXPECT_EQ(combine.request_idx, 1234);
}

TEST(Schedule, LatencyModeSplitsFinerThanThroughputMode) {
  ScheduleCase c = decode_case({1024}, 64, 16, 16);
  const auto busy = [&](ScheduleMode mode) {
    c.settings.mode = mode;
    const auto tokens = tokens_by_worker(schedule_or_fail(c));
    return std::count_if(tokens.begin(), tokens.end(), [](std::int64_t n) { return n > 0; });
  };
  EXPECT_GT(busy(ScheduleMode::kLatency), busy(ScheduleMode::kThroughput));
  EXPECT_GT(busy(ScheduleMode::kThroughput), 2);
}

TEST(Schedule, BatchInvariantModeCutsEveryChunk) {
  ScheduleCase c =
      decode_case({2 * kInvariantChunk, 2 * kInvariantChunk + 1, kInvariantChunk, 0}, 3);
  c.settings.mode = ScheduleMode::kBatchInvariant;
  const WorkPlan plan = schedule_or_fail(c);
  ASSERT_EQ(plan.combines.size(), 2u);
  EXPECT_EQ(plan.combines[0].num_splits, 2);
  EXPECT_EQ(plan.combines[1].num_splits, 3);
  EXPECT_EQ(plan.num_slots, 5);
  EXPECT_EQ(plan.items.size(), 7u);
}

TEST(Schedule, ForcedSplitsAreExactAndEven) {
  for (std::int32_t num_splits = 1; num_splits <= 20; ++num_splits) {
    ScheduleCase c = decode_case({1000, 100, 0}, 4);  // 16, 2 and 0 granules
    c.settings.num_splits = num_splits;
    for (const ScheduleMode mode :
         {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
      c.settings.mode = mode;
      const auto tiles = planned_tiles(schedule_or_fail(c));
      EXPECT_EQ(tiles.at({0, 0, 0, 16}).pieces.size(),
                static_cast<std::size_t>(std::min(num_splits, 16)));
      EXPECT_EQ(tiles.at({1, 0, 0, 16}).pieces.size(),
                static_cast<std::size_t>(std::min(num_splits, 2)));
      EXPECT_EQ(tiles.at({2, 0, 0, 16}).pieces.size(), 1u);
    }
  }
}

TEST(Schedule, CausalTilesStopAtTheirLastQuerysKey) {
  ScheduleCase c = decode_case({100}, 1, 16, 16);
  c.settings.problem.s_q = 3;  // a query token a tile
  c.settings.problem.mask = Mask::kCausal;
  const WorkPlan plan = schedule_or_fail(c);
  ASSERT_EQ(plan.items.size(), 3u);
  EXPECT_EQ(plan.items[0].kv_end, 98);
  EXPECT_EQ(plan.items[1].kv_end, 99);
  EXPECT_EQ(plan.items[2].kv_end, 100);
}

TEST(Schedule, RowsThatSeeNoKeyGetAnEmptyItem) {
  ScheduleCase c = decode_case({1}, 2, 16, 16);
  c.settings.problem.s_q = 3;
  c.settings.problem.mask = Mask::kCausal;
  const auto tiles = planned_tiles(schedule_or_fail(c));
  EXPECT_EQ(tiles.at({0, 0, 0, 16}).pieces[0].kv_end, 0);
  EXPECT_EQ(tiles.at({0, 0, 16, 32}).pieces[0].kv_end, 0);
  EXPECT_EQ(tiles.at({0, 0, 32, 48}).pieces[0].kv_end, 1);
}

TEST(Schedule, TopKIgnoresLengthsAndKeepsQueryTokensApart) {
  ScheduleCase c = decode_case({}, 2, 16);
  c.settings.problem.batch = 2;
  c.settings.problem.s_q = 2;
  c.settings.problem.h_q = 24;
  c.settings.problem.sparsity = Sparsity::kTopK;
  c.settings.problem.top_k = 2000;
  const auto tiles = planned_tiles(schedule_or_fail(c));
  EXPECT_EQ(tiles.size(), 8u);  // 24 rows a token are tiles of 16 and 8
  EXPECT_EQ(tiles.at({1, 0, 40, 48}).pieces.back().kv_end, 2000);
}

TEST(Schedule, ATileHasNoMoreRowsThanARequest) {
  ScheduleCase c = decode_case({1000}, 2, 16);
  c.settings.problem.s_q = 3;
  for (const auto& [rows_per_tile, expected] : {std::pair{32, 32}, {48, 48}, {128, 48}}) {
    c.settings.rows_per_tile = rows_per_tile;
    EXPECT_EQ(schedule_or_fail(c).rows_per_tile, expected);
  }
  c.settings.problem.sparsity = Sparsity::kTopK;
  c.settings.problem.top_k = 100;
  EXPECT_EQ(schedule_or_fail(c).rows_per_tile, 16);
  c.settings.problem.s_q = 0;
  EXPECT_EQ(schedule_or_fail(c).rows_per_tile, 16);
}

TEST(Schedule, NothingToDo) {
  ScheduleCase no_requests = decode_case({}, 3);
  EXPECT_EQ(schedule_or_fail(no_requests).worker_begin, (std::vector<std::int32_t>{0, 0, 0, 0}));
  ScheduleCase no_queries = decode_case({5, 6}, 3);
  no_queries.settings.problem.s_q = 0;
  EXPECT_TRUE(schedule_or_fail(no_queries).items.empty());
  ScheduleCase no_heads = decode_case({5, 6}, 3);
  no_heads.settings.problem.h_q = 0;
  EXPECT_TRUE(schedule_or_fail(no_heads).items.empty());
}

TEST(Schedule, EmptyRequestsBesideOthers) {
  ScheduleCase c = decode_case({0, 500, 0, 700}, 2);
  c.settings.problem.phase = Phase::kPrefill;
  c.settings.problem.s_q = 9;
  c.q_lengths = {4, 0, 0, 9};
  const auto tiles = planned_tiles(schedule_or_fail(c));
  EXPECT_EQ(tiles.size(), 13u);  // 4 + 9 tokens of 16 rows
}

TEST(Schedule, SeventyThousandRequests) {
  for (const std::int32_t batch : {65'535, 65'536, 70'000}) {
    for (int mode = 0; mode < 3; ++mode) {
      ScheduleCase c =
          decode_case(std::vector<std::int32_t>(static_cast<std::size_t>(batch), 3), 7);
      c.settings.mode = static_cast<ScheduleMode>(mode);
      EXPECT_EQ(schedule_or_fail(c).items.size(), static_cast<std::size_t>(batch));
    }
  }
}

TEST(Schedule, SeventyThousandQueryTokens) {
  ScheduleCase c = decode_case({70'000}, 5);
  c.settings.problem.s_q = 70'000;
  c.settings.problem.mask = Mask::kCausal;
  c.settings.rows_per_tile = 128;
  EXPECT_GE(schedule_or_fail(c).items.size(), 8750u);
}

TEST(Schedule, TheLongestLengthsDoNotOverflow) {
  for (const std::int64_t batch : {1, 3, 2000}) {
    for (const std::int32_t granule : {1, 64, kMostInt32}) {
      for (const ScheduleMode mode : {ScheduleMode::kThroughput, ScheduleMode::kLatency}) {
        ScheduleCase c = decode_case(
            std::vector<std::int32_t>(static_cast<std::size_t>(batch), kMostInt32), 200);
        c.settings.kv_granule = granule;
        c.settings.mode = mode;
        const WorkPlan plan = schedule_or_fail(c);
        if (granule != kMostInt32 || batch >= 1000) {
          EXPECT_LT(most_tokens_over_mean(plan), 1.05) << batch << " " << granule;
        }
      }
    }
  }
}

TEST(Schedule, TheLongestLengthsOfManyRequestsDoNotOverflow) {
  ScheduleCase c = decode_case(std::vector<std::int32_t>(70'000, kMostInt32), 132, 128);
  EXPECT_LT(most_tokens_over_mean(schedule_or_fail(c)), 1.05);
}

TEST(Schedule, BatchInvariantPiecesOfTheLongestRequestDoNotOverflow) {
  ScheduleCase c = decode_case({kMostInt32}, 3);
  c.settings.mode = ScheduleMode::kBatchInvariant;
  c.settings.kv_granule = 1'000'000;
  EXPECT_EQ(schedule_or_fail(c).items.size(), 2148u);
}

TEST(Schedule, ManyMoreWorkersThanWork) {
  const WorkPlan plan = schedule_or_fail(decode_case({1, 0, 3}, 100'000));
  EXPECT_EQ(plan.num_workers(), 100'000);
  EXPECT_EQ(plan.items.size(), 3u);
}

TEST(Schedule, AModelOfNegativeOrZeroCostsStillSchedules) {
  ScheduleCase c = decode_case({1000, 2000}, 4);
  c.settings.cost = {.item_fixed = -5, .item_row = -1, .row_step = 0};
  WorkPlan plan;
  ASSERT_TRUE(schedule(c.input(), plan));
  c.settings.cost = {};
  ASSERT_TRUE(schedule(c.input(), plan));
  EXPECT_EQ(find_flaw(c.input(), plan), "");
}

struct BadInput {
  std::string name;
  void (*spoil)(ScheduleCase& c);
  StatusCode code;
  std::string message;
};

TEST(Schedule, BadInputIsNamedWithItsValueAndWhatWasExpected) {
  const BadInput cases[] = {
      {"workers", [](ScheduleCase& c) { c.settings.num_workers = 0; }, StatusCode::kInvalidArgument,
       "num_workers: is 0, must be 1 .. 2147483647"},
      {"rows", [](ScheduleCase& c) { c.settings.rows_per_tile = -1; }, StatusCode::kInvalidArgument,
       "rows_per_tile: is -1, must be 1 .. 65536"},
      {"granule", [](ScheduleCase& c) { c.settings.kv_granule = 0; }, StatusCode::kInvalidArgument,
       "kv_granule: is 0, must be 1 .. 2147483647"},
      {"splits", [](ScheduleCase& c) { c.settings.num_splits = 0; }, StatusCode::kInvalidArgument,
       "num_splits: is 0, must be 1 .. 2147483647"},
      {"size", [](ScheduleCase& c) { c.kv_lengths.pop_back(); }, StatusCode::kInvalidArgument,
       "kv_lengths.size: is 1, must be batch = 2"},
      {"negative", [](ScheduleCase& c) { c.kv_lengths[1] = -7; }, StatusCode::kInvalidArgument,
       "kv_lengths[1]: is -7, must be 0 .. 2147483647"},
      {"q_lengths",
       [](ScheduleCase& c) {
         c.settings.problem.phase = Phase::kPrefill;
         c.settings.problem.s_q = 4;
         c.q_lengths = {4, 5};
       },
       StatusCode::kInvalidArgument, "q_lengths[1]: is 5, must be 0 .. 4"},
      {"batch", [](ScheduleCase& c) { c.settings.problem.batch = -1; },
       StatusCode::kInvalidArgument, "batch: is -1, must be 0 .. 2147483647"},
      {"rows of a request", [](ScheduleCase& c) { c.settings.problem.s_q = kMostInt32; },
       StatusCode::kUnsupported,
       "s_q * (h_q / h_kv): is 2147483647 * 16, must be at most 2147483647"},
      {"tiles",
       [](ScheduleCase& c) {
         c.settings.problem.s_q = 100'000'000;
         c.settings.rows_per_tile = 1;
       },
       StatusCode::kUnsupported, "work items: are more than 2147483647, split the call"},
      {"pieces",
       [](ScheduleCase& c) {
         c.settings.num_splits = kMostInt32;
         c.settings.kv_granule = 1;
         c.kv_lengths = {kMostInt32, kMostInt32};
       },
       StatusCode::kUnsupported, "work items: are 4294967294, must be at most 2147483647"},
  };
  for (const BadInput& bad : cases) {
    ScheduleCase c = decode_case({10, 20}, 2);
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    bad.spoil(c);
    const Status status = schedule(c.input(), plan);
    EXPECT_EQ(status.code(), bad.code) << bad.name;
    EXPECT_EQ(status.message(), bad.message) << bad.name;
    EXPECT_TRUE(plan.items.empty() && plan.worker_begin.empty() && plan.combines.empty() &&
                plan.num_slots == 0)
        << bad.name;
  }
}

}  // namespace
}  // namespace seesaw::scheduling::testing
