// What docs/scheduling.md ("Groups and cuts") promises, on generated calls: whole, in slots of
// their own, merged, and within limits. group_balance_test.cc has the rest.
#include "scheduling/group_cuts.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "scheduling/group_pieces.h"
#include "support/run_size.h"

namespace seesaw::scheduling::testing {
namespace {

using ::seesaw::testing::make_rng;
using ::seesaw::testing::run_size;
using ::seesaw::testing::uniform;

constexpr std::int32_t kMostInt32 = std::numeric_limits<std::int32_t>::max();

// ------------------------------------------------------------------------------------- coverage

TEST(GroupCuts, CutsAndGroupsRiseFromTheBeginToTheEndOfTheRow) {
  auto rng = make_rng();
  for (int round = 0; round < 1500; ++round) {
    const GroupCase c = random_group_case(rng);
    const GroupPlan plan = plan_or_fail(c);
    const GroupShape& shape = plan.shape;
    ASSERT_EQ(std::ssize(plan.cuts), shape.num_ranges + 1) << c.describe();
    ASSERT_EQ(std::ssize(plan.first_ranges), shape.num_groups + 1) << c.describe();
    const Cut end{static_cast<std::int32_t>(shape.num_sequences()), 0};
    ASSERT_EQ(plan.cuts.front(), shape.num_ranges == 0 ? end : Cut{}) << c.describe();
    ASSERT_EQ(plan.cuts.back(), end) << c.describe();
    ASSERT_TRUE(std::is_sorted(plan.cuts.begin(), plan.cuts.end())) << c.describe();
    ASSERT_EQ(plan.first_ranges.front(), 0) << c.describe();
    ASSERT_EQ(plan.first_ranges.back(), shape.num_ranges) << c.describe();
    ASSERT_TRUE(std::is_sorted(plan.first_ranges.begin(), plan.first_ranges.end())) << c.describe();
    for (const Cut& cut : plan.cuts) {  // the end of a sequence is the begin of the next
      if (cut.block_idx == 0) continue;
      const std::int64_t keys = keys_by_definition(c, shape, cut.sequence_idx);
      ASSERT_LT(std::int64_t{cut.block_idx} * shape.tokens_per_block, keys) << c.describe();
    }
    ASSERT_LE(shape.num_groups * shape.group_size, c.input.num_workers) << c.describe();
  }
}

TEST(GroupCuts, EveryKeyOnceAndEverySlotOnce) {
  auto rng = make_rng();
  std::map<CutRule::Kind, int> num_split;
  for (int round = 0; round < run_size(1500, 300); ++round) {
    const GroupCase c = random_group_case(rng);
    const GroupPlan plan = plan_or_fail(c);
    const auto pieces = pieces_of(plan, c.kv_lengths);
    std::set<std::int32_t> slots;
    for (std::size_t s = 0; s < pieces.size(); ++s) {
      ASSERT_FALSE(pieces[s].empty()) << "sequence " << s << "\n" << c.describe();
      std::int64_t key = 0;
      for (const PlacedPiece& placed : pieces[s]) {
        const Piece& piece = placed.piece;
        ASSERT_EQ(piece.key_begin, key) << "sequence " << s << "\n" << c.describe();
        key = piece.key_end;
        if (pieces[s].size() == 1) {
          ASSERT_EQ(piece.slot_idx, -1) << "sequence " << s << "\n" << c.describe();
          continue;
        }
        ASSERT_LT(piece.key_begin, piece.key_end) << "sequence " << s << "\n" << c.describe();
        ASSERT_GE(piece.slot_idx, 0) << "sequence " << s << "\n" << c.describe();
        ASSERT_LT(piece.slot_idx, plan.shape.num_ranges * plan.shape.slots_per_range);
        ASSERT_TRUE(slots.insert(piece.slot_idx).second) << "slot " << piece.slot_idx << "\n"
                                                         << c.describe();
      }
      ASSERT_EQ(key, keys_by_definition(c, plan.shape, static_cast<std::int32_t>(s)))
          << "sequence " << s << "\n"
          << c.describe();
      if (pieces[s].size() > 1) ++num_split[plan.rule.kind];
    }
  }
  for (const auto kind : {CutRule::Kind::kFlow, CutRule::Kind::kSpread, CutRule::Kind::kPieces}) {
    EXPECT_GT(num_split[kind], run_size(500, 100)) << static_cast<int>(kind);
  }
}

TEST(GroupCuts, RanksTakeEveryRowOnce) {
  auto rng = make_rng();
  for (int round = 0; round < 1500; ++round) {
    const GroupCase c = random_group_case(rng, 5);
    const GroupPlan plan = plan_or_fail(c);
    const GroupShape& shape = plan.shape;
    std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> next_row;
    for (std::int32_t s = 0; s < shape.num_sequences(); ++s) {
      const Sequence sequence = sequence_at(shape, s);
      std::int64_t& row = next_row[{sequence.request_idx, sequence.kv_head_idx}];
      ASSERT_LT(sequence.row_begin, shape.num_rows()) << c.describe();
      for (std::int32_t rank = 0; rank < shape.group_size; ++rank) {
        const RowRange rows = rows_of_rank(shape, sequence, rank);
        ASSERT_EQ(rows.begin, row) << c.describe();
        ASSERT_LE(rows.end - rows.begin, shape.rows_per_tile) << c.describe();
        row = rows.end;
      }
    }
    ASSERT_EQ(std::ssize(next_row), c.input.problem.batch * c.input.problem.h_kv) << c.describe();
    for (const auto& [head, rows] : next_row) {
      ASSERT_EQ(rows, c.input.problem.s_q * c.input.problem.group_size()) << c.describe();
    }
  }
}

/// The slots of each split sequence as group_plan.h tells the merge to find them.
std::map<std::int32_t, std::vector<std::int32_t>> merged_slots(const GroupPlan& plan) {
  const std::int32_t slots = plan.shape.slots_per_range;
  std::map<std::int32_t, std::vector<std::int32_t>> merged;
  for (std::int32_t r = 0; r < plan.shape.num_ranges; ++r) {
    const auto cut = [&plan](std::int32_t i) { return plan.cuts[static_cast<std::size_t>(i)]; };
    if (!begins_split_sequence(cut(r), cut(r + 1))) continue;
    const std::int32_t sequence_idx = cut(r + 1).sequence_idx;
    EXPECT_EQ(merged.count(sequence_idx), 0u);
    auto& list = merged[sequence_idx];
    list.push_back(r * slots + slots - 1);
    for (std::int32_t next = r + 1; next < plan.shape.num_ranges; ++next) {
      if (cut(next) == cut(next + 1)) continue;
      list.push_back(next * slots);
      if (cut(next + 1).sequence_idx != sequence_idx) break;
    }
  }
  return merged;
}

TEST(GroupCuts, TheMergeFindsThePieces) {
  auto rng = make_rng();
  for (int round = 0; round < run_size(1500, 300); ++round) {
    const GroupCase c = round == 0 ? case_with_empty_ranges() : random_group_case(rng);
    const GroupPlan plan = plan_or_fail(c);
    const auto pieces = pieces_of(plan, c.kv_lengths);
    std::map<std::int32_t, std::vector<std::int32_t>> expected;
    for (std::size_t s = 0; s < pieces.size(); ++s) {
      if (pieces[s].size() < 2) continue;
      auto& list = expected[static_cast<std::int32_t>(s)];
      for (const PlacedPiece& placed : pieces[s]) list.push_back(placed.piece.slot_idx);
    }
    ASSERT_EQ(merged_slots(plan), expected) << c.describe();
  }
}

TEST(GroupCuts, ListedItemsCoverEveryKeyOfEveryRow) {
  using Tile = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>;
  auto rng = make_rng();
  for (int round = 0; round < 600; ++round) {
    const GroupCase c = round == 0 ? case_with_empty_ranges() : random_group_case(rng, 60);
    const GroupPlan groups = plan_or_fail(c);
    WorkPlan plan;
    list_items(groups, c.kv_lengths, plan);
    ASSERT_EQ(plan.num_workers(), groups.shape.num_groups * groups.shape.group_size);
    ASSERT_EQ(plan.worker_begin.back(), std::ssize(plan.items)) << c.describe();
    std::map<Tile, std::vector<WorkItem>> tiles;
    std::set<std::int32_t> slots;
    for (const WorkItem& item : plan.items) {
      tiles[{item.request_idx, item.kv_head_idx, item.row_begin, item.row_end}].push_back(item);
      if (item.slot_idx < 0) continue;
      ASSERT_LT(item.slot_idx, plan.num_slots) << c.describe();
      ASSERT_TRUE(slots.insert(item.slot_idx).second) << c.describe();
    }
    std::map<Tile, const CombineItem*> combines;
    for (const CombineItem& item : plan.combines) {
      ASSERT_TRUE(
          combines
              .emplace(Tile(item.request_idx, item.kv_head_idx, item.row_begin, item.row_end),
                       &item)
              .second)
          << c.describe();
    }
    std::int64_t num_rows = 0;
    for (auto& [tile, items] : tiles) {
      const auto [request_idx, head, row_begin, row_end] = tile;
      num_rows += row_end - row_begin;
      std::sort(items.begin(), items.end(),
                [](const WorkItem& a, const WorkItem& b) { return a.slot_idx < b.slot_idx; });
      std::int64_t key = 0;
      for (const WorkItem& item : items) {
        ASSERT_EQ(item.kv_begin, key) << c.describe();
        key = item.kv_end;
      }
      std::int64_t keys = c.kv_lengths[static_cast<std::size_t>(request_idx)];
      if (c.input.problem.mask == Mask::kCausal) {
        const std::int64_t last_query = (row_end - 1) / c.input.problem.group_size();
        keys = std::max<std::int64_t>(0, keys - c.input.problem.s_q + last_query + 1);
      }
      ASSERT_EQ(key, keys) << c.describe();
      const bool is_split = items.front().slot_idx >= 0;
      ASSERT_EQ(combines.count(tile), is_split ? 1u : 0u) << c.describe();
      if (!is_split) continue;
      ASSERT_EQ(combines[tile]->slot_begin, items.front().slot_idx) << c.describe();
      ASSERT_EQ(combines[tile]->num_splits, std::ssize(items)) << c.describe();
    }
    ASSERT_EQ(num_rows, c.input.problem.batch * c.input.problem.s_q * c.input.problem.h_q)
        << c.describe();
  }
}

// ------------------------------------------------------------------------- fixed pieces, examples

std::vector<std::pair<std::int32_t, std::int32_t>> keys_of_pieces(
    const std::vector<PlacedPiece>& pieces) {
  std::vector<std::pair<std::int32_t, std::int32_t>> keys;
  for (const PlacedPiece& p : pieces) keys.emplace_back(p.piece.key_begin, p.piece.key_end);
  return keys;
}

TEST(GroupCuts, BatchInvariantPiecesDependOnTheRequestAlone) {
  auto rng = make_rng();
  for (int round = 0; round < 400; ++round) {
    GroupCase c = random_group_case(rng, 60);
    if (c.input.problem.batch == 0) continue;
    c.input.num_splits.reset();
    c.input.mode = ScheduleMode::kBatchInvariant;
    c.input.num_workers = 132;
    const GroupPlan together = plan_or_fail(c);
    const auto request = static_cast<std::size_t>(uniform(rng, 0, c.input.problem.batch - 1));
    GroupCase alone = c;
    alone.input.problem.batch = 1;
    alone.kv_lengths = {c.kv_lengths[request]};
    const GroupPlan plan_alone = plan_or_fail(alone);
    const auto pieces = pieces_of(together, c.kv_lengths);
    const auto pieces_alone = pieces_of(plan_alone, alone.kv_lengths);
    for (std::size_t s = 0; s < pieces_alone.size(); ++s) {
      ASSERT_EQ(keys_of_pieces(pieces[request * pieces_alone.size() + s]),
                keys_of_pieces(pieces_alone[s]))
          << c.describe();
    }
  }
}

TEST(GroupCuts, ForcedSplitsAreMadeExactly) {
  for (std::int32_t num_splits = 1; num_splits <= 140; ++num_splits) {
    GroupCase c = group_decode_case({0, 1, 64, 65, 1000, 8192});
    c.input.num_splits = num_splits;
    const auto pieces = pieces_of(plan_or_fail(c), c.kv_lengths);
    for (std::size_t s = 0; s < pieces.size(); ++s) {
      const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(c.kv_lengths[s], 64));
      ASSERT_EQ(std::ssize(pieces[s]), std::min<std::int64_t>(num_splits, blocks));
    }
  }
}

TEST(GroupCuts, OneLongRequestIsSharedByAllGroups) {
  for (const ScheduleMode mode : {ScheduleMode::kThroughput, ScheduleMode::kLatency}) {
    GroupCase c = group_decode_case({1 << 20});
    c.input.mode = mode;
    const auto pieces = pieces_of(plan_or_fail(c), c.kv_lengths);
    EXPECT_EQ(pieces[0].size(), 132u);  // 16,384 blocks: 124.1 each
  }
}

TEST(GroupCuts, EqualRequestsThatFitTheGroupsAreNotSplit) {
  for (const std::int64_t batch : {100, 128, 132}) {
    const GroupCase c =
        group_decode_case(std::vector<std::int32_t>(static_cast<std::size_t>(batch), 640));
    const GroupPlan plan = plan_or_fail(c);
    const auto pieces = pieces_of(plan, c.kv_lengths);
    for (const auto& list : pieces) EXPECT_EQ(list.size(), 1u) << batch;
  }
  const GroupCase half = group_decode_case(std::vector<std::int32_t>(66, 8192));
  for (const auto& list : pieces_of(plan_or_fail(half), half.kv_lengths)) {
    EXPECT_EQ(keys_of_pieces(list),
              (std::vector<std::pair<std::int32_t, std::int32_t>>{{0, 4096}, {4096, 8192}}));
  }
}

// A graph of 128 requests that is replayed with 8: the others are padding.
TEST(GroupCuts, PaddedRequestsDoNotPileUp) {
  std::vector<std::int32_t> lengths(128, 0);
  std::fill(lengths.begin(), lengths.begin() + 8, 8192);
  for (const std::int64_t h_q : {64, 128}) {
    const GroupCase c = group_decode_case(lengths, h_q);
    const GroupPlan plan = plan_or_fail(c);
    const auto costs = group_costs(plan, c.kv_lengths);
    const std::int64_t total = 8 * (128 + 3) + 120 * (1 + 3);
    EXPECT_LE(*std::max_element(costs.begin(), costs.end()), total / plan.shape.num_groups + 13)
        << h_q;
  }
}

// ---------------------------------------------------------------------------------------- limits

TEST(GroupCuts, LongestLengths) {
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    for (const std::size_t batch : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
      for (const std::int32_t tokens_per_block : {1, 64}) {
        GroupCase c = group_decode_case(std::vector<std::int32_t>(batch, kMostInt32), 512);
        c.input.mode = mode;
        c.input.problem.h_kv = 4;
        c.input.problem.s_q = 3;
        c.input.problem.mask = Mask::kCausal;
        c.input.tokens_per_block = tokens_per_block;
        const GroupPlan plan = plan_or_fail(c);
        const auto pieces = pieces_of(plan, c.kv_lengths);
        for (std::size_t s = 0; s < pieces.size(); ++s) {
          std::int64_t key = 0;
          for (const PlacedPiece& placed : pieces[s]) {
            ASSERT_EQ(placed.piece.key_begin, key);
            key = placed.piece.key_end;
          }
          ASSERT_EQ(key, keys_by_definition(c, plan.shape, static_cast<std::int32_t>(s)));
        }
      }
    }
  }
}

TEST(GroupCuts, NothingToDo) {
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    GroupCase c = group_decode_case({});
    c.input.mode = mode;
    GroupPlan plan = plan_or_fail(c);
    EXPECT_EQ(plan.shape.num_sequences(), 0);
    EXPECT_TRUE(pieces_of(plan, c.kv_lengths).empty());
    c = group_decode_case({5, 6});
    c.input.mode = mode;
    c.input.problem.s_q = 0;
    plan = plan_or_fail(c);
    EXPECT_EQ(plan.shape.num_sequences(), 0);
    EXPECT_EQ(plan.cuts.back(), (Cut{0, 0}));
  }
}

TEST(GroupCuts, WorkersThatShareKeys) {
  const auto group_size = [](std::int64_t num_rows, std::int32_t most, std::int32_t num_workers) {
    GroupCase c = group_decode_case({100});
    c.input.problem.h_q = num_rows;
    c.input.max_group_size = most;
    c.input.num_workers = num_workers;
    return plan_or_fail(c).shape.group_size;
  };
  EXPECT_EQ(group_size(16, 4, 132), 1);
  EXPECT_EQ(group_size(128, 4, 132), 2);
  EXPECT_EQ(group_size(256, 4, 132), 4);
  EXPECT_EQ(group_size(320, 4, 132), 3);  // 3 + 2 of 5 tiles, not 4 + 1
  EXPECT_EQ(group_size(384, 4, 132), 3);  // 3 + 3, not 4 + 2
  EXPECT_EQ(group_size(512, 4, 132), 4);
  EXPECT_EQ(group_size(512, 1, 132), 1);
  EXPECT_EQ(group_size(512, 4, 1), 1);
  EXPECT_EQ(group_size(512, 4, 5), 4);
}

TEST(GroupCuts, EvenBeginIsEvenCut) {
  for (std::int32_t blocks = 1; blocks < 60; ++blocks) {
    for (std::int32_t n = 1; n <= blocks; ++n) {
      const KeyCut cut = even_cut(std::int64_t{blocks} * 64, 64, n);
      for (std::int32_t i = 0; i < n; ++i) {
        ASSERT_EQ(std::int64_t{even_begin(blocks, n, i)} * 64, cut.begin(i)) << blocks << " " << n;
      }
    }
  }
}

TEST(GroupCuts, EvenSharesAreExact) {
  auto rng = make_rng();
  for (int round = 0; round < 10'000; ++round) {
    const std::int64_t total =
        uniform(rng, 0, std::numeric_limits<std::int64_t>::max() / 4) >> uniform(rng, 0, 60);
    const auto count =
        static_cast<std::int32_t>(uniform(rng, 1, kMostInt32) >> uniform(rng, 0, 30));
    if (count == 0) continue;
    const auto i = static_cast<std::int32_t>(uniform(rng, 0, count));
    const auto expected = static_cast<std::int64_t>(static_cast<__int128>(total) * i / count);
    ASSERT_EQ(EvenShares(total, count).before(i), expected) << total << " " << count << " " << i;
  }
}

TEST(GroupCuts, RefusesWhatItCannotNumber) {
  const auto status_of = [](auto&& change) {
    GroupCase c = group_decode_case({100});
    change(c.input);
    GroupPlan plan;
    return choose_groups(c.input, plan);
  };
  const auto code_of = [&](auto&& change) { return status_of(change).code(); };
  using Code = StatusCode;
  EXPECT_EQ(code_of([](GroupInput&) {}), Code::kOk);
  EXPECT_EQ(code_of([](GroupInput& in) { in.num_workers = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.rows_per_tile = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.tokens_per_block = -1; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.max_group_size = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.num_splits = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.problem.batch = -1; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.problem.h_kv = 3; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.problem.phase = Phase::kPrefill; }),
            Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GroupInput& in) { in.problem.s_q = kMostInt32; }), Code::kUnsupported);
  EXPECT_EQ(code_of([](GroupInput& in) {
              in.problem.batch = 1 << 20;
              in.problem.s_q = 1 << 18;
            }),
            Code::kUnsupported);
  EXPECT_EQ(code_of([](GroupInput& in) {
              in.problem.batch = 1 << 20;
              in.num_splits = 1 << 12;
            }),
            Code::kUnsupported);
  const Status status = status_of([](GroupInput& in) { in.num_workers = 0; });
  EXPECT_EQ(status.message(), "num_workers: is 0, must be in [1, 2147483647]");
}

TEST(GroupCuts, RefusesLengthsThatAreNone) {
  const GroupCase c = group_decode_case({100, 200});
  GroupPlan plan;
  std::vector<std::int64_t> scratch;
  ASSERT_TRUE(choose_groups(c.input, plan));
  EXPECT_EQ(cut_groups(std::vector<std::int32_t>{1}, plan, scratch).message(),
            "kv_lengths: has 1 entries, must have b = 2");
  EXPECT_EQ(cut_groups(std::vector<std::int32_t>{1, -1}, plan, scratch).message(),
            "kv_lengths[1]: is -1, must be >= 0");
}

// ------------------------------------------------------------------------------------- workspace

TEST(GroupWorkspace, RegionsFollowEachOtherWithoutOverlap) {
  auto rng = make_rng();
  for (int round = 0; round < 500; ++round) {
    const GroupCase c = random_group_case(rng);
    WorkPlan plan;
    plan.problem = c.input.problem;
    plan.problem.d_v = uniform(rng, 1, 1024);
    GroupPlan groups = plan_or_fail(c);
    ASSERT_TRUE(lay_out_group_workspace(groups, plan));
    const GroupShape& shape = groups.shape;
    const auto bytes = [](std::int64_t count, std::size_t size) {
      return static_cast<std::size_t>(count) * size;
    };
    ASSERT_GE(plan.slot_stride,
              bytes(shape.rows_per_tile, 4) * static_cast<std::size_t>(plan.problem.d_v + 2));
    const std::size_t offsets[] = {0,
                                   groups.cuts_offset,
                                   groups.first_ranges_offset,
                                   groups.kv_lengths_offset,
                                   groups.arrivals_offset,
                                   groups.scratch_offset,
                                   plan.workspace_bytes};
    const std::size_t sizes[] = {bytes(shape.num_slots(), plan.slot_stride),
                                 bytes(shape.num_ranges + 1, sizeof(Cut)),
                                 bytes(shape.num_groups + 1, 4),
                                 bytes(shape.batch, 4),
                                 bytes(groups.num_arrivals(), 4),
                                 std::max<std::size_t>(64, bytes(shape.num_sequences() + 1, 8))};
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      ASSERT_EQ(offsets[i] % 64, 0u) << i;
      ASSERT_GE(offsets[i + 1], offsets[i] + sizes[i]) << i << c.describe();
      ASSERT_LT(offsets[i + 1], offsets[i] + sizes[i] + 64) << i << c.describe();
    }
    ASSERT_EQ(plan.slot_stride % 64, 0u);
  }
}

TEST(GroupWorkspace, RefusesWhatHasNoAddress) {
  GroupPlan groups;
  WorkPlan plan;
  groups.shape.num_ranges = kMostInt32 / 2;
  groups.shape.rows_per_tile = kMostInt32 / 8;
  plan.problem.d_v = 512;
  const Status status = lay_out_group_workspace(groups, plan);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("workspace_bytes"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace seesaw::scheduling::testing
