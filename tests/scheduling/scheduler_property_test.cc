// What docs/scheduling.md promises of every schedule, on generated calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "scheduling/deal.h"
#include "scheduling/ranges.h"
#include "scheduling/schedule_checks.h"
#include "support/run_size.h"

namespace seesaw::scheduling::testing {
namespace {

using ::seesaw::testing::make_rng;
using ::seesaw::testing::Rng;
using ::seesaw::testing::run_size;
using ::seesaw::testing::uniform;

bool has_fixed_pieces(const ScheduleInput& input) {
  return input.num_splits.has_value() || input.mode == ScheduleMode::kBatchInvariant;
}

/// A case of the modes that cut ranges.
ScheduleCase random_range_case(Rng& rng, const CaseLimits& limits) {
  ScheduleCase c = random_case(rng, limits);
  c.settings.num_splits.reset();
  c.settings.mode = uniform(rng, 0, 1) == 0 ? ScheduleMode::kThroughput : ScheduleMode::kLatency;
  return c;
}

std::int64_t makespan(const ScheduleInput& input, const WorkPlan& plan) {
  const auto loads = worker_loads(input, plan);
  return *std::max_element(loads.begin(), loads.end());
}

bool same_items(const WorkPlan& a, const WorkPlan& b) {
  const auto same_item = [](const WorkItem& x, const WorkItem& y) {
    return x.request_idx == y.request_idx && x.kv_head_idx == y.kv_head_idx &&
           x.row_begin == y.row_begin && x.row_end == y.row_end && x.kv_begin == y.kv_begin &&
           x.kv_end == y.kv_end && x.slot_idx == y.slot_idx;
  };
  const auto same_combine = [](const CombineItem& x, const CombineItem& y) {
    return x.request_idx == y.request_idx && x.kv_head_idx == y.kv_head_idx &&
           x.row_begin == y.row_begin && x.row_end == y.row_end && x.slot_begin == y.slot_begin &&
           x.num_splits == y.num_splits;
  };
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same_item) &&
         std::equal(a.combines.begin(), a.combines.end(), b.combines.begin(), b.combines.end(),
                    same_combine) &&
         a.worker_begin == b.worker_begin && a.num_slots == b.num_slots;
}

TEST(ScheduleProperties, EveryKeyOfEveryRowExactlyOnceAndTheSameAgain) {
  auto rng = make_rng();
  WorkPlan reused;
  for (int round = 0; round < run_size(600, 150); ++round) {
    const ScheduleCase c = random_case(rng);
    WorkPlan plan;
    const Status status = schedule(c.input(), plan);
    ASSERT_TRUE(status) << status.message() << "\n" << c.describe();
    ASSERT_EQ(find_flaw(c.input(), plan), "") << c.describe();
    ASSERT_TRUE(schedule(c.input(), reused));  // over whatever the rounds before left in it
    ASSERT_TRUE(same_items(plan, reused)) << c.describe();
  }
}

TEST(ScheduleProperties, NoWorkerIsEmptyWhileAnotherHoldsTwoMovableBlocks) {
  auto rng = make_rng();
  int num_with_empty = 0;
  for (int round = 0; round < 600; ++round) {
    const ScheduleCase c = random_case(rng);
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    const auto num_items = [&plan](int worker) {
      const auto w = static_cast<std::size_t>(worker);
      return plan.worker_begin[w + 1] - plan.worker_begin[w];
    };
    bool any_empty = false;
    for (int w = 0; w < plan.num_workers(); ++w) any_empty |= num_items(w) == 0;
    if (!any_empty) continue;
    ++num_with_empty;
    const std::int64_t mean_load = work_bounds(c.input(), plan).mean_load;
    for (int w = 0; w < plan.num_workers(); ++w) {
      // Fixed pieces are not cut further.
      const std::int64_t movable = has_fixed_pieces(c.input())
                                       ? num_items(w)
                                       : movable_blocks(c.input(), plan, mean_load, w);
      ASSERT_LT(movable, 2) << "worker " << w << "\n" << c.describe();
    }
  }
  EXPECT_GT(num_with_empty, 20);
}

// Proven in docs/scheduling.md ("Makespan").
TEST(ScheduleProperties, MakespanIsWithinTheProvenBound) {
  auto rng = make_rng();
  int num_bound_to_five_per_cent = 0;
  for (int round = 0; round < run_size(500, 120); ++round) {
    const ScheduleCase c =
        random_range_case(rng, {.batch = 600, .keys = round % 2 == 0 ? 200'000 : 5'000});
    const ScheduleInput input = c.input();
    WorkPlan plan;
    ASSERT_TRUE(schedule(input, plan));
    const WorkBounds bounds = work_bounds(input, plan);
    const auto actual = static_cast<double>(makespan(input, plan));
    const auto lower_bound = static_cast<double>(bounds.lower_bound());
    if (bounds.most_pieces <= input.num_workers) {
      ASSERT_LE(actual, lower_bound) << c.describe();
      continue;
    }
    std::int64_t overhead = 0;  // that a cut adds
    for (const auto& [key, tile] : planned_tiles(plan)) {
      const std::int64_t rows = std::get<3>(key) - std::get<2>(key);
      overhead = std::max(overhead, input.cost.fixed_cost(rows) + 2 * input.cost.slot_cost(rows));
    }
    const std::int64_t sum =
        bounds.mean_load + bounds.mean_load / 256 + bounds.largest_block + overhead;
    const double bound =
        std::max(1.02 * lower_bound, static_cast<double>(sum) * (1 + 1.0 / kCapPrecision) + 2);
    ASSERT_LE(actual, bound) << c.describe();
    if (bound <= 1.05 * lower_bound) ++num_bound_to_five_per_cent;
  }
  EXPECT_GT(num_bound_to_five_per_cent, run_size(50, 10));
}

// With 100 granules of 64 keys a worker the proven bound is 5 %: any lengths, any number of
// workers.
TEST(ScheduleProperties, MakespanIsWithinFivePerCentWhereThereIsWorkForAll) {
  auto rng = make_rng();
  for (int round = 0; round < 300; ++round) {
    const auto num_workers = static_cast<std::int32_t>(uniform(rng, 1, 200));
    const auto kind = static_cast<Lengths>(uniform(rng, 0, kNumLengthKinds - 1));
    const std::int64_t batch = uniform(rng, 1, 500);
    ScheduleCase c = decode_case(random_lengths(rng, kind, batch, 100'000), num_workers);
    c.kv_lengths[0] += 100 * 64 * num_workers;
    c.settings.mode = uniform(rng, 0, 1) == 0 ? ScheduleMode::kThroughput : ScheduleMode::kLatency;
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    ASSERT_LE(static_cast<double>(makespan(c.input(), plan)),
              1.05 * static_cast<double>(work_bounds(c.input(), plan).lower_bound()))
        << c.describe();
  }
}

// Few blocks a worker: within 5 % of the lower bound, or no worse than every cut into ranges.
TEST(ScheduleProperties, MakespanOfFewBlocksIsWithinFivePerCentOrNoWorseThanAnyCutIntoRanges) {
  auto rng = make_rng();
  int num_compared = 0;
  int num_uneven = 0;
  for (int round = 0; round < 3000; ++round) {
    const ScheduleCase c =
        random_range_case(rng, {.batch = 8, .keys = 1500, .q_len = 6, .num_workers = 8});
    const ScheduleInput input = c.input();
    WorkPlan plan;
    ASSERT_TRUE(schedule(input, plan));
    const WorkBounds bounds = work_bounds(input, plan);
    const std::vector<Block> blocks = list_blocks(input, plan, bounds.mean_load);
    if (blocks.size() > 60) continue;
    ++num_compared;
    const auto actual = static_cast<double>(makespan(input, plan));
    if (actual <= 1.05 * static_cast<double>(bounds.lower_bound())) continue;
    ++num_uneven;
    const auto best = static_cast<double>(best_contiguous_makespan(input, blocks));
    ASSERT_LE(actual, best * (1 + 1.0 / kCapPrecision) + 2) << c.describe();
  }
  EXPECT_GT(num_compared, 300);
  EXPECT_GT(num_uneven, 30);
}

TEST(ScheduleProperties, EqualGranulesAreSharedAsEvenlyAsIntegersAllow) {
  auto rng = make_rng();
  for (int round = 0; round < 500; ++round) {
    const auto num_workers = static_cast<std::int32_t>(uniform(rng, 1, 200));
    const std::int64_t num_granules = uniform(rng, 1, 100 * num_workers);
    ScheduleCase c = decode_case({static_cast<std::int32_t>(64 * num_granules)}, num_workers);
    c.settings.cost = {.item_fixed = 1, .token_row = 1000, .row_step = 1};
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    std::int64_t most = 0;
    for (const WorkItem& item : plan.items) {
      most = std::max<std::int64_t>(most, item.kv_end - item.kv_begin);
    }
    ASSERT_EQ(most, 64 * ((num_granules + num_workers - 1) / num_workers)) << c.describe();
  }
}

TEST(ScheduleProperties, RangesAddAtMostASplitAWorkerAndTheirSlotsAreBounded) {
  auto rng = make_rng();
  for (int round = 0; round < 500; ++round) {
    const ScheduleCase c = random_range_case(rng, {});
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    const auto num_tiles = static_cast<std::int64_t>(planned_tiles(plan).size());
    const std::int64_t most_splits = c.settings.num_workers - 1;
    ASSERT_LE(static_cast<std::int64_t>(plan.items.size()), num_tiles + most_splits);
    ASSERT_LE(plan.num_slots, 2 * most_splits) << c.describe();
  }
}

TEST(ScheduleProperties, FixedPiecesUseTheSlotsOfTheFormula) {
  auto rng = make_rng();
  for (int round = 0; round < 300; ++round) {
    ScheduleCase c = random_case(rng);
    c.settings.mode = ScheduleMode::kBatchInvariant;
    WorkPlan plan;
    ASSERT_TRUE(schedule(c.input(), plan));
    const std::int64_t granule = c.settings.kv_granule;
    const std::int64_t chunk = (kInvariantChunk + granule - 1) / granule * granule;
    std::int64_t expected = 0;
    for (const auto& [key, tile] : planned_tiles(plan)) {
      const std::int64_t keys = tile.pieces.back().kv_end;
      const std::int64_t pieces =
          c.settings.num_splits
              ? std::min<std::int64_t>(*c.settings.num_splits, (keys + granule - 1) / granule)
              : (keys + chunk - 1) / chunk;
      if (pieces > 1) expected += pieces;
      ASSERT_EQ(static_cast<std::int64_t>(tile.pieces.size()), std::max<std::int64_t>(1, pieces));
    }
    ASSERT_EQ(plan.num_slots, expected) << c.describe();
  }
}

// The greedy rule's own certificate: before its last piece the most loaded worker was the least
// loaded one. So the makespan exceeds the mean by one piece at most: the worker's smallest, as far
// as pieces are sorted (to 1 / 1,023 of the largest).
TEST(ScheduleProperties, FixedPiecesAreDealtGreedily) {
  auto rng = make_rng();
  for (int round = 0; round < 400; ++round) {
    ScheduleCase c = random_case(rng);
    c.settings.mode = ScheduleMode::kBatchInvariant;
    const ScheduleInput input = c.input();
    WorkPlan plan;
    ASSERT_TRUE(schedule(input, plan));
    const auto loads = worker_loads(input, plan);
    const auto worst =
        static_cast<std::size_t>(std::max_element(loads.begin(), loads.end()) - loads.begin());
    const auto piece_cost = [&](const WorkItem& item) {
      const std::int64_t rows = item.row_end - item.row_begin;
      return input.cost.item_cost(rows, item.kv_end - item.kv_begin) +
             (item.slot_idx >= 0 ? input.cost.slot_cost(rows) : 0);
    };
    std::int64_t largest = 0;
    std::int64_t smallest = loads[worst];
    for (std::size_t i = 0; i < plan.items.size(); ++i) {
      const std::int64_t cost = piece_cost(plan.items[i]);
      largest = std::max(largest, cost);
      const auto idx = static_cast<std::int32_t>(i);
      if (idx >= plan.worker_begin[worst] && idx < plan.worker_begin[worst + 1]) {
        smallest = std::min(smallest, cost);
      }
    }
    const double mean =
        std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
    const double above = static_cast<double>(smallest) + static_cast<double>(largest) / 1023;
    ASSERT_LE(static_cast<double>(loads[worst]), mean + above + 1) << c.describe();
  }
}

// Graham's bound for the greedy rule against the true optimum; sorting to levels adds two of them.
TEST(ScheduleProperties, FewFixedPiecesAreWithinAThirdOfTheBestAssignment) {
  auto rng = make_rng();
  int num_compared = 0;
  for (int round = 0; round < 1500; ++round) {
    ScheduleCase c = random_case(rng, {.batch = 6, .keys = 3000, .q_len = 3, .num_workers = 5});
    c.settings.mode = ScheduleMode::kBatchInvariant;
    const ScheduleInput input = c.input();
    WorkPlan plan;
    ASSERT_TRUE(schedule(input, plan));
    if (plan.items.empty() || plan.items.size() > 11) continue;
    ++num_compared;
    std::vector<std::int64_t> costs;
    for (const WorkItem& item : plan.items) {
      const std::int64_t rows = item.row_end - item.row_begin;
      costs.push_back(input.cost.item_cost(rows, item.kv_end - item.kv_begin) +
                      (item.slot_idx >= 0 ? input.cost.slot_cost(rows) : 0));
    }
    const auto best = static_cast<double>(best_makespan(costs, input.num_workers));
    const double graham = 4.0 / 3.0 - 1.0 / (3.0 * input.num_workers);
    const auto sorting = static_cast<double>(*std::max_element(costs.begin(), costs.end())) / 1023;
    ASSERT_LE(static_cast<double>(makespan(input, plan)), graham * best + 2 * sorting + 1)
        << c.describe();
  }
  EXPECT_GT(num_compared, 200);
}

/// Splits of a request's tiles, in the order they are merged.
using RequestSplits = std::map<TileKey, std::vector<std::pair<std::int32_t, std::int32_t>>>;

RequestSplits splits_of(const WorkPlan& plan, std::int32_t request_idx) {
  RequestSplits splits;
  for (const auto& [key, tile] : planned_tiles(plan)) {
    if (std::get<0>(key) != request_idx) continue;
    auto& pieces = splits[{0, std::get<1>(key), std::get<2>(key), std::get<3>(key)}];
    for (const WorkItem& piece : tile.pieces) pieces.emplace_back(piece.kv_begin, piece.kv_end);
  }
  return splits;
}

// find_flaw has shown that slots, and so merges, follow the order of the splits.
TEST(ScheduleProperties, BatchInvariantSplitsDependOnTheRequestAlone) {
  auto rng = make_rng();
  for (int round = 0; round < 150; ++round) {
    ScheduleCase batch = random_case(rng, {.batch = 40});
    if (batch.settings.problem.batch == 0) continue;
    batch.settings.mode = ScheduleMode::kBatchInvariant;
    batch.settings.num_splits.reset();
    WorkPlan together;
    ASSERT_TRUE(schedule(batch.input(), together));
    const auto request =
        static_cast<std::size_t>(uniform(rng, 0, batch.settings.problem.batch - 1));
    const RequestSplits expected = splits_of(together, static_cast<std::int32_t>(request));

    ScheduleCase alone = batch;
    alone.settings.problem.batch = 1;
    alone.settings.num_workers = static_cast<std::int32_t>(uniform(rng, 1, 200));
    // The cost model says who computes a piece, never what a piece is.
    alone.settings.cost = cost_model(alone.settings.problem, DeviceKind::kCpu, CpuIsa::kGeneric);
    if (!batch.kv_lengths.empty()) alone.kv_lengths = {batch.kv_lengths[request]};
    if (!batch.q_lengths.empty()) alone.q_lengths = {batch.q_lengths[request]};
    WorkPlan plan_alone;
    ASSERT_TRUE(schedule(alone.input(), plan_alone));
    ASSERT_EQ(splits_of(plan_alone, 0), expected) << batch.describe();

    ScheduleCase elsewhere = batch;
    const auto place = static_cast<std::size_t>(uniform(rng, 0, batch.settings.problem.batch - 1));
    elsewhere.settings.num_workers = static_cast<std::int32_t>(uniform(rng, 1, 200));
    if (!batch.kv_lengths.empty()) {
      std::swap(elsewhere.kv_lengths[place], elsewhere.kv_lengths[request]);
    }
    if (!batch.q_lengths.empty()) {
      std::swap(elsewhere.q_lengths[place], elsewhere.q_lengths[request]);
    }
    WorkPlan moved;
    ASSERT_TRUE(schedule(elsewhere.input(), moved));
    ASSERT_EQ(splits_of(moved, static_cast<std::int32_t>(place)), expected) << batch.describe();
  }
}

}  // namespace
}  // namespace seesaw::scheduling::testing
