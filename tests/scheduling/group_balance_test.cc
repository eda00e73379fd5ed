// How evenly the cuts for groups divide the work, against what trying every place gives.
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>
#include <string>

#include "scheduling/group_pieces.h"
#include "support/run_size.h"

namespace seesaw::scheduling::testing {
namespace {

using ::seesaw::testing::make_rng;
using ::seesaw::testing::run_size;

/// What even shares guarantee: each cut moves half of what it would cut off at the most.
std::int64_t even_share_bound(const GroupPlan& plan, const std::vector<std::int64_t>& costs) {
  const std::int64_t total = std::accumulate(costs.begin(), costs.end(), std::int64_t{0});
  const std::int64_t moved = plan.rule.min_piece_blocks + (plan.rule.sequence_overhead + 1) / 2;
  return ceil_div(total, plan.shape.num_groups) + 2 * moved + plan.rule.sequence_overhead;
}

/// Cost of each sequence, whole.
std::vector<std::int64_t> sequence_costs(const GroupCase& c, const GroupPlan& plan) {
  std::vector<std::int64_t> costs;
  for (std::int32_t s = 0; s < plan.shape.num_sequences(); ++s) {
    const auto keys = static_cast<std::int32_t>(keys_by_definition(c, plan.shape, s));
    costs.push_back(cost_of(plan, {s, 0, keys, -1}));
  }
  return costs;
}

/// Where kFlow cuts: of the ends of sequences and the places that leave min_piece_blocks or more on
/// both sides, the nearest to where an even share ends. Tried one by one.
std::string find_misplaced_cut(const GroupPlan& plan, const std::vector<std::int64_t>& costs) {
  std::map<Cut, std::int64_t> allowed;  // and what comes before it
  std::int64_t before = 0;
  for (std::int32_t s = 0; s < plan.shape.num_sequences(); ++s) {
    allowed[{s, 0}] = before;
    const std::int64_t overhead = plan.rule.sequence_overhead;
    const std::int64_t blocks = costs[static_cast<std::size_t>(s)] - overhead;
    for (std::int32_t k = plan.rule.min_piece_blocks; blocks - k >= plan.rule.min_piece_blocks;
         ++k) {
      allowed[{s, k}] = before + overhead + k;
    }
    before += costs[static_cast<std::size_t>(s)];
  }
  allowed[{static_cast<std::int32_t>(plan.shape.num_sequences()), 0}] = before;
  for (std::int64_t i = 0; i < std::ssize(plan.cuts); ++i) {
    const std::int64_t end = before * i / plan.shape.num_groups;
    std::int64_t least = before;
    for (const auto& [cut, cost] : allowed) least = std::min(least, std::abs(cost - end));
    const Cut cut = plan.cuts[static_cast<std::size_t>(i)];
    const auto found = allowed.find(cut);
    if (found == allowed.end() || std::abs(found->second - end) > least) {
      return fmt::format("cut {} at ({}, {})", i, cut.sequence_idx, cut.block_idx);
    }
  }
  return "";
}

TEST(GroupBalance, EvenSharesEndAtTheNearestPlace) {
  auto rng = make_rng();
  int num_compared = 0;
  for (int round = 0; round < run_size(600, 120); ++round) {
    const GroupCase c = random_group_case(rng, 400, 3000);
    const GroupPlan plan = plan_or_fail(c);
    if (plan.rule.kind != CutRule::Kind::kFlow) continue;
    ++num_compared;
    ASSERT_EQ(find_misplaced_cut(plan, sequence_costs(c, plan)), "") << c.describe();
  }
  EXPECT_GT(num_compared, run_size(100, 20));
}

TEST(GroupBalance, EvenSharesAreBalanced) {
  auto rng = make_rng();
  int num_compared = 0;
  for (int round = 0; round < run_size(1500, 300); ++round) {
    const GroupCase c = random_group_case(rng, 400);
    const GroupPlan plan = plan_or_fail(c);
    if (plan.rule.kind != CutRule::Kind::kFlow) continue;
    ++num_compared;
    const auto costs = group_costs(plan, c.kv_lengths);
    ASSERT_LE(*std::max_element(costs.begin(), costs.end()),
              even_share_bound(plan, sequence_costs(c, plan)))
        << c.describe();
  }
  EXPECT_GT(num_compared, run_size(300, 60));
}

// At either end of a sequence; in between a piece is a group's whole share.
TEST(GroupBalance, EvenSharesCutOffNoSmallPieces) {
  auto rng = make_rng();
  for (int round = 0; round < 1500; ++round) {
    const GroupCase c = random_group_case(rng, 400);
    const GroupPlan plan = plan_or_fail(c);
    if (plan.rule.kind != CutRule::Kind::kFlow) continue;
    for (const Cut& cut : plan.cuts) {
      if (cut.block_idx == 0) continue;
      const std::int64_t blocks = ceil_div(keys_by_definition(c, plan.shape, cut.sequence_idx),
                                           plan.shape.tokens_per_block);
      ASSERT_GE(cut.block_idx, plan.rule.min_piece_blocks) << c.describe();
      ASSERT_GE(blocks - cut.block_idx, plan.rule.min_piece_blocks) << c.describe();
    }
  }
}

/// The smallest size of the largest piece where every sequence has groups of its own; by trying
/// all.
std::int64_t best_largest_piece(const std::vector<std::int64_t>& blocks, std::int64_t num_groups,
                                std::int64_t min_piece) {
  for (std::int64_t largest = 1;; ++largest) {
    std::int64_t needed = 0;
    for (const std::int64_t n : blocks) {
      needed += std::max<std::int64_t>(1, std::min(ceil_div(n, largest), n / min_piece));
    }
    if (needed <= num_groups) return largest;
  }
}

TEST(GroupBalance, FewSequencesGetGroupsOfTheirOwnOrEvenShares) {
  auto rng = make_rng();
  int num_own = 0;
  int num_even = 0;
  for (int round = 0; round < 2000; ++round) {
    const GroupCase c = random_group_case(rng, 132);
    const GroupPlan plan = plan_or_fail(c);
    if (plan.rule.kind != CutRule::Kind::kSpread || plan.shape.num_sequences() == 0) continue;
    const auto whole = sequence_costs(c, plan);
    std::vector<std::int64_t> blocks;
    for (const std::int64_t cost : whole) blocks.push_back(cost - plan.rule.sequence_overhead);
    const std::int64_t min_piece = plan.rule.min_piece_blocks;
    const std::int64_t largest = best_largest_piece(blocks, plan.shape.num_groups, min_piece);
    const std::int64_t own = std::max(largest, 2 * min_piece - 1) + plan.rule.sequence_overhead;
    const auto costs = group_costs(plan, c.kv_lengths);
    const std::int64_t makespan = *std::max_element(costs.begin(), costs.end());
    const std::int64_t total = std::accumulate(whole.begin(), whole.end(), std::int64_t{0});
    if (largest <= ceil_div(total, plan.shape.num_groups) + 1) {
      ++num_own;
      ASSERT_LE(makespan, own) << c.describe();
      std::set<std::int32_t> groups;  // none has two pieces
      for (const auto& pieces : pieces_of(plan, c.kv_lengths)) {
        for (const PlacedPiece& placed : pieces) {
          ASSERT_TRUE(groups.insert(placed.group_idx).second) << c.describe();
          ASSERT_TRUE(pieces.size() == 1 ||
                      cost_of(plan, placed.piece) - plan.rule.sequence_overhead >= min_piece)
              << c.describe();
        }
      }
    } else {
      ++num_even;
      ASSERT_LE(makespan, even_share_bound(plan, whole)) << c.describe();
      if (num_even % 8 == 0) {  // it takes long
        ASSERT_EQ(find_misplaced_cut(plan, whole), "") << c.describe();
      }
    }
  }
  EXPECT_GT(num_own, 200);
  EXPECT_GT(num_even, 50);
}

/// Where groups begin in kPieces: of all pieces, with the one that begins nearest to where an even
/// share ends.
std::string find_misplaced_group(const GroupPlan& plan,
                                 const std::vector<std::int32_t>& kv_lengths) {
  std::map<std::int32_t, std::int64_t> begins;  // of ranges: what comes before
  std::int64_t before = 0;
  for (const auto& pieces : pieces_of(plan, kv_lengths)) {
    for (const PlacedPiece& placed : pieces) {
      const Cut begin{placed.piece.sequence_idx,
                      placed.piece.key_begin / plan.shape.tokens_per_block};
      // Of the cuts there, the last one begins the piece, the others empty ranges.
      const auto after = std::upper_bound(plan.cuts.begin(), plan.cuts.end(), begin);
      begins[static_cast<std::int32_t>(after - plan.cuts.begin()) - 1] = before;
      before += cost_of(plan, placed.piece);
    }
  }
  begins[plan.shape.num_ranges] = before;
  for (std::int64_t g = 0; g < plan.shape.num_groups; ++g) {
    const std::int64_t end = before * g / plan.shape.num_groups;
    std::int64_t least = before;
    for (const auto& [range, cost] : begins) least = std::min(least, std::abs(cost - end));
    const std::int32_t first = plan.first_ranges[static_cast<std::size_t>(g)];
    // An empty range stands for the next one that is not.
    const auto found = begins.lower_bound(first);
    if (found == begins.end() || std::abs(found->second - end) > least) {
      return fmt::format("group {} begins with range {}", g, first);
    }
  }
  return "";
}

TEST(GroupBalance, FixedPiecesAreDealtEvenly) {
  auto rng = make_rng();
  int num_compared = 0;
  for (int round = 0; round < run_size(1500, 300); ++round) {
    const GroupCase c = random_group_case(rng);
    const GroupPlan plan = plan_or_fail(c);
    if (plan.rule.kind != CutRule::Kind::kPieces) continue;
    ++num_compared;
    std::int64_t largest = 0;
    std::int64_t total = 0;
    for (const auto& pieces : pieces_of(plan, c.kv_lengths)) {
      for (const PlacedPiece& placed : pieces) {
        total += cost_of(plan, placed.piece);
        largest = std::max(largest, cost_of(plan, placed.piece));
      }
    }
    const auto costs = group_costs(plan, c.kv_lengths);
    ASSERT_LE(*std::max_element(costs.begin(), costs.end()),
              ceil_div(total, plan.shape.num_groups) + largest)
        << c.describe();
    ASSERT_EQ(find_misplaced_group(plan, c.kv_lengths), "") << c.describe();
  }
  EXPECT_GT(num_compared, run_size(300, 60));
}

}  // namespace
}  // namespace seesaw::scheduling::testing
