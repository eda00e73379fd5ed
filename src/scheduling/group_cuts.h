// Where the planner cuts the row of sequences (seesaw/types/group_plan.h) into ranges and deals
// them to groups. The arithmetic is constexpr on plain integers and every cut is found on its own,
// by a search in prefix sums: the planner on the device calls the same functions, a thread a cut.
// Guarantees and complexity: docs/scheduling.md, "Groups and cuts".
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "scheduling/workspace.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/group_plan.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::scheduling {

// ------------------------------------------------------------------- for host, device and tests

/// Blocks of keys that any row of the sequence sees, of s_k cached tokens; a negative s_k counts
/// as 0.
constexpr std::int32_t sequence_blocks(const GroupShape& shape, std::int32_t sequence_idx,
                                       std::int32_t s_k) noexcept {
  std::int32_t keys = s_k < 0 ? 0 : s_k;
  if (shape.is_causal) keys = sequence_keys(shape, sequence_at(shape, sequence_idx), keys);
  return keys / shape.tokens_per_block + (keys % shape.tokens_per_block != 0 ? 1 : 0);
}

/// The sequences of a call with the lengths of its requests.
struct SequenceRow {
  GroupShape shape;
  const std::int32_t* kv_lengths = nullptr;  // [b]
  std::int64_t stride = 1;                   // elements

  constexpr std::int32_t size() const noexcept {
    return static_cast<std::int32_t>(shape.num_sequences());
  }
  constexpr std::int32_t blocks(std::int32_t sequence_idx) const noexcept {
    const std::int32_t request_idx = sequence_idx / (shape.h_kv * shape.row_groups);
    return sequence_blocks(shape, sequence_idx, kv_lengths[request_idx * stride]);
  }
};

/// First block of piece piece_idx where `blocks` are cut into num_pieces that differ by one at
/// most, the shorter ones first: even_cut of partition.h in 32 bits.
constexpr std::int32_t even_begin(std::int32_t blocks, std::int32_t num_pieces,
                                  std::int32_t piece_idx) noexcept {
  const std::int32_t num_long = blocks % num_pieces;
  const std::int32_t long_before = piece_idx - num_pieces + num_long;
  return piece_idx * (blocks / num_pieces) + (long_before > 0 ? long_before : 0);
}

/// floor(i * total / count) for i in [0, count] without overflow: what the first i of `count` equal
/// shares hold.
struct EvenShares {
  std::int64_t each = 0;
  std::int64_t rest = 0;
  std::int64_t count = 1;

  constexpr EvenShares() = default;
  constexpr EvenShares(std::int64_t total, std::int32_t num_shares) noexcept
      : each(total / num_shares), rest(total % num_shares), count(num_shares) {}
  constexpr std::int64_t before(std::int32_t i) const noexcept {
    return i * each + i * rest / count;
  }
};

/// The largest i in [0, size) with sums[i] <= value; size > 0, sums rise, sums[0] <= value.
constexpr std::int32_t last_at_most(const std::int64_t* sums, std::int32_t size,
                                    std::int64_t value) noexcept {
  std::int32_t found = 0;
  for (std::int32_t end = size; end - found > 1;) {
    const std::int32_t middle = found + (end - found) / 2;
    if (sums[middle] <= value) {
      found = middle;
    } else {
      end = middle;
    }
  }
  return found;
}

/// kPieces: pieces of a sequence, by its own length only.
constexpr std::int32_t num_fixed_pieces(const CutRule& rule, std::int32_t blocks) noexcept {
  const std::int32_t n =
      blocks / rule.blocks_per_piece + (blocks % rule.blocks_per_piece != 0 ? 1 : 0);
  return n < 1 ? 1 : (n < rule.max_pieces ? n : rule.max_pieces);
}

/// kSpread: pieces of a sequence where none should have more than `largest` blocks, and none may
/// have less than min_piece_blocks.
constexpr std::int32_t num_spread_pieces(const CutRule& rule, std::int32_t blocks,
                                         std::int32_t largest) noexcept {
  const std::int32_t n = blocks / largest + (blocks % largest != 0 ? 1 : 0);
  const std::int32_t most = blocks / rule.min_piece_blocks;
  return n < most ? (n < 1 ? 1 : n) : (most < 1 ? 1 : most);
}

/// What a sequence costs, in blocks: never nothing, for a sequence without keys is written too.
constexpr std::int64_t sequence_cost(const CutRule& rule, std::int32_t blocks) noexcept {
  const std::int64_t starts =
      rule.kind == CutRule::Kind::kPieces ? num_fixed_pieces(rule, blocks) : 1;
  return (blocks < 1 ? 1 : blocks) + starts * rule.sequence_overhead;
}

/// kSpread: sizes to try for the largest piece, from `least` to `most`. The first that needs no
/// more than num_groups pieces is taken; where there is none, even shares end sooner, and the row
/// is cut as in kFlow.
struct LargestPiece {
  std::int32_t least = 1;  // a mean share, or less
  std::int32_t most = 1;

  constexpr LargestPiece(const CutRule& rule, const GroupShape& shape,
                         std::int64_t total_cost) noexcept {
    const std::int64_t blocks = total_cost - shape.num_sequences() * (rule.sequence_overhead + 1);
    least = static_cast<std::int32_t>(std::max<std::int64_t>(1, blocks / shape.num_groups));
    // Even shares end in whole blocks and move off the ends of sequences: a block later than that.
    const std::int64_t share = (total_cost + shape.num_groups - 1) / shape.num_groups;
    most = static_cast<std::int32_t>(share + 1);
  }
};

/// num_spread_pieces of the sequence from the prefix sums of sequence_cost.
constexpr std::int32_t num_spread_pieces_at(const CutRule& rule, const std::int64_t* cost_sums,
                                            std::int32_t sequence_idx,
                                            std::int32_t largest) noexcept {
  const std::int64_t cost = cost_sums[sequence_idx + 1] - cost_sums[sequence_idx];
  return num_spread_pieces(rule, static_cast<std::int32_t>(cost - rule.sequence_overhead), largest);
}

/// Cuts and groups, each on its own.
struct Cutter {
  CutRule rule;  // kFlow where kSpread found no size for its largest piece
  SequenceRow row;
  /// [size of the row + 1]. kFlow, kPieces: sequence_cost of the sequences before;
  /// kSpread: their num_spread_pieces.
  const std::int64_t* sums = nullptr;
  EvenShares shares;  // kFlow, kPieces: of sums[size of the row], for num_groups

  /// The begin of range range_idx, or with num_ranges the end of the row.
  constexpr Cut cut(std::int32_t range_idx) const noexcept {
    if (rule.kind == CutRule::Kind::kFlow) return flow_cut(range_idx);
    return rule.kind == CutRule::Kind::kSpread ? spread_cut(range_idx) : fixed_cut(range_idx);
  }
  /// The first range of group group_idx, or with num_groups the number of ranges.
  constexpr std::int32_t first_range(std::int32_t group_idx) const noexcept {
    return rule.kind == CutRule::Kind::kPieces ? nearest_range(group_idx) : group_idx;
  }

 private:
  /// Where an even share ends, moved to the nearest place that cuts off no less than
  /// min_piece_blocks.
  constexpr Cut flow_cut(std::int32_t range_idx) const noexcept {
    const std::int64_t cost = shares.before(range_idx);
    if (cost >= sums[row.size()]) return {row.size(), 0};
    const std::int32_t sequence_idx = last_at_most(sums, row.size(), cost);
    const std::int64_t offset = cost - sums[sequence_idx];
    const std::int64_t end = sums[sequence_idx + 1] - sums[sequence_idx];
    const Cut begin{sequence_idx, 0};
    const Cut next{sequence_idx + 1, 0};
    const std::int64_t blocks = end - rule.sequence_overhead;
    const std::int64_t min_blocks = rule.min_piece_blocks;
    if (blocks < 2 * min_blocks) return 2 * offset < end ? begin : next;
    const std::int64_t block = offset - rule.sequence_overhead;
    if (block < min_blocks) {
      if (2 * offset < rule.sequence_overhead + min_blocks) return begin;
      return {sequence_idx, rule.min_piece_blocks};
    }
    if (blocks - block < min_blocks) {
      if (2 * (blocks - block) < min_blocks) return next;
      return {sequence_idx, static_cast<std::int32_t>(blocks - min_blocks)};
    }
    return {sequence_idx, static_cast<std::int32_t>(block)};
  }

  constexpr Cut spread_cut(std::int32_t range_idx) const noexcept {
    if (range_idx >= sums[row.size()]) return {row.size(), 0};
    const std::int32_t sequence_idx = last_at_most(sums, row.size(), range_idx);
    const std::int64_t num_pieces = sums[sequence_idx + 1] - sums[sequence_idx];
    const std::int64_t piece_idx = range_idx - sums[sequence_idx];
    return {sequence_idx,
            even_begin(row.blocks(sequence_idx), static_cast<std::int32_t>(num_pieces),
                       static_cast<std::int32_t>(piece_idx))};
  }

  constexpr Cut fixed_cut(std::int32_t range_idx) const noexcept {
    const std::int32_t sequence_idx = range_idx / rule.max_pieces;
    const std::int32_t piece_idx = range_idx % rule.max_pieces;
    if (sequence_idx >= row.size()) return {row.size(), 0};
    const std::int32_t blocks = row.blocks(sequence_idx);
    const std::int32_t num_pieces = num_fixed_pieces(rule, blocks);
    if (piece_idx >= num_pieces) return {sequence_idx + 1, 0};
    return {sequence_idx, even_begin(blocks, num_pieces, piece_idx)};
  }

  /// kPieces: the range whose begin is nearest to the end of an even share.
  constexpr std::int32_t nearest_range(std::int32_t group_idx) const noexcept {
    const std::int64_t cost = shares.before(group_idx);
    if (cost >= sums[row.size()]) return row.size() * rule.max_pieces;
    const std::int32_t sequence_idx = last_at_most(sums, row.size(), cost);
    const std::int64_t offset = cost - sums[sequence_idx];
    const std::int32_t blocks = row.blocks(sequence_idx);
    const std::int32_t num_pieces = num_fixed_pieces(rule, blocks);
    const auto cost_before = [&](std::int32_t piece_idx) {
      return even_begin(blocks, num_pieces, piece_idx) +
             std::int64_t{piece_idx} * rule.sequence_overhead;
    };
    std::int32_t piece_idx = 0;
    for (std::int32_t end = num_pieces; end - piece_idx > 1;) {
      const std::int32_t middle = piece_idx + (end - piece_idx) / 2;
      if (cost_before(middle) <= offset) {
        piece_idx = middle;
      } else {
        end = middle;
      }
    }
    const bool is_last = piece_idx + 1 == num_pieces;
    const std::int64_t next =
        is_last ? sums[sequence_idx + 1] - sums[sequence_idx] : cost_before(piece_idx + 1);
    if (offset - cost_before(piece_idx) <= next - offset) {
      return sequence_idx * rule.max_pieces + piece_idx;
    }
    return is_last ? (sequence_idx + 1) * rule.max_pieces
                   : sequence_idx * rule.max_pieces + piece_idx + 1;
  }
};

// --------------------------------------------------------------------------------- for the host

struct GroupInput {
  AttentionProblem problem;  // a dense decode
  ScheduleMode mode = ScheduleMode::kThroughput;
  std::optional<std::int32_t> num_splits;  // as PlanOptions::num_splits
  std::int32_t num_workers = 1;            // streaming multiprocessors
  std::int32_t rows_per_tile = 64;
  std::int32_t tokens_per_block = 64;
  std::int32_t max_group_size = 1;
};

/// Everything of the plan that needs no lengths: writes plan.shape and plan.rule, empties
/// plan.cuts and plan.first_ranges (their memory is kept). b or s_q of 0 give no sequences.
/// Errors: kInvalidArgument (a count that is not positive), kUnsupported (more rows, sequences,
/// ranges or slots than 32 bits number).
Status choose_groups(const GroupInput& input, GroupPlan& plan);

/// Fills plan.cuts and plan.first_ranges for these lengths ([batch]). `scratch` is a vector to keep
/// between calls (WorkPlan::planner_scratch); calls of equal shapes then allocate nothing.
/// Errors: kInvalidArgument (not batch lengths, or a negative one).
Status cut_groups(std::span<const std::int32_t> kv_lengths, GroupPlan& plan,
                  std::vector<std::int64_t>& scratch);

/// Writes plan.{items, worker_begin, combines, num_slots} as the workers work through `groups`,
/// which has its cuts: worker group * group_size + rank. slot_idx counts single slots (of a range
/// times group_size, plus rank). CombineItem::slot_begin is the slot of the first split; the other
/// slots follow in the order of keys but need not be neighbours. For explain() and for tests.
/// Throws std::bad_alloc; one item a piece and rank, so long for a large batch in kPieces.
void list_items(const GroupPlan& groups, std::span<const std::int32_t> kv_lengths, WorkPlan& plan);

}  // namespace seesaw::scheduling
