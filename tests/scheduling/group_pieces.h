// The pieces of a plan for groups of workers, listed as the kernels list them: from
// seesaw/types/group_plan.h alone.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "scheduling/group_case.h"
#include "scheduling/partition.h"

namespace seesaw::scheduling::testing {

inline GroupPlan plan_or_fail(const GroupCase& c) {
  GroupPlan plan;
  std::vector<std::int64_t> scratch;
  Status status = c.choose(plan);
  if (status) status = cut_groups(c.kv_lengths, plan, scratch);
  EXPECT_TRUE(status) << status.message() << "\n" << c.describe();
  return plan;
}

inline GroupCase group_decode_case(std::vector<std::int32_t> kv_lengths, std::int64_t h_q = 64,
                                   std::int32_t max_group_size = 2) {
  GroupCase c;
  c.input.problem.batch = static_cast<std::int64_t>(kv_lengths.size());
  c.input.problem.h_q = h_q;
  c.input.num_workers = 132;
  c.input.max_group_size = max_group_size;
  c.kv_lengths = std::move(kv_lengths);
  return c;
}

/// Several shares end at the same place inside the long sequence: empty ranges between its pieces.
inline GroupCase case_with_empty_ranges() {
  GroupCase c = group_decode_case(std::vector<std::int32_t>(200, 0));
  c.kv_lengths[50] = 18 * 64;
  c.sequence_overhead = 0;
  c.min_piece_blocks = 9;
  return c;
}

struct PlacedPiece {
  Piece piece;
  std::int32_t group_idx = 0;
};

/// The pieces of each sequence in the order of the plan, as a kernel of rank 0 goes through them.
inline std::vector<std::vector<PlacedPiece>> pieces_of(
    const GroupPlan& plan, const std::vector<std::int32_t>& kv_lengths) {
  const GroupShape& shape = plan.shape;
  std::vector<std::vector<PlacedPiece>> pieces(static_cast<std::size_t>(shape.num_sequences()));
  for (std::int32_t group = 0; group < shape.num_groups; ++group) {
    const auto g = static_cast<std::size_t>(group);
    for (std::int32_t r = plan.first_ranges[g]; r < plan.first_ranges[g + 1]; ++r) {
      const Cut begin = plan.cuts[static_cast<std::size_t>(r)];
      const Cut end = plan.cuts[static_cast<std::size_t>(r) + 1];
      for (std::int32_t s = begin.sequence_idx;
           begin < end && (s < end.sequence_idx || (s == end.sequence_idx && end.block_idx > 0));
           ++s) {
        const Sequence sequence = sequence_at(shape, s);
        const std::int32_t keys = sequence_keys(
            shape, sequence, kv_lengths[static_cast<std::size_t>(sequence.request_idx)]);
        pieces[static_cast<std::size_t>(s)].push_back(
            {piece_in_range(shape, r, begin, end, s, keys), group});
      }
    }
  }
  return pieces;
}

/// Keys that the last row of a sequence sees, by the definition of the causal mask.
inline std::int64_t keys_by_definition(const GroupCase& c, const GroupShape& shape,
                                       std::int32_t sequence_idx) {
  const Sequence sequence = sequence_at(shape, sequence_idx);
  const std::int64_t s_k = c.kv_lengths[static_cast<std::size_t>(sequence.request_idx)];
  if (c.input.problem.mask == Mask::kNone) return s_k;
  const std::int64_t rows = c.input.problem.s_q * c.input.problem.group_size();
  const std::int64_t end = std::min<std::int64_t>(
      rows, sequence.row_begin + std::int64_t{shape.group_size} * shape.rows_per_tile);
  const std::int64_t last_query = (end - 1) / c.input.problem.group_size();
  return std::max<std::int64_t>(0, s_k - c.input.problem.s_q + last_query + 1);
}

inline std::int64_t cost_of(const GroupPlan& plan, const Piece& piece) {
  const std::int64_t keys = piece.key_end - piece.key_begin;
  return std::max<std::int64_t>(1, ceil_div(keys, plan.shape.tokens_per_block)) +
         plan.rule.sequence_overhead;
}

/// What each group's pieces cost.
inline std::vector<std::int64_t> group_costs(const GroupPlan& plan,
                                             const std::vector<std::int32_t>& kv_lengths) {
  std::vector<std::int64_t> costs(static_cast<std::size_t>(plan.shape.num_groups));
  for (const auto& pieces : pieces_of(plan, kv_lengths)) {
    for (const PlacedPiece& placed : pieces) {
      costs[static_cast<std::size_t>(placed.group_idx)] += cost_of(plan, placed.piece);
    }
  }
  return costs;
}

}  // namespace seesaw::scheduling::testing
