#include "scheduling/group_cuts.h"

#include <fmt/format.h>

#include <limits>

#include "scheduling/partition.h"

namespace seesaw::scheduling {
namespace {

constexpr std::int64_t kMostInt32 = std::numeric_limits<std::int32_t>::max();

// What the planner weighs, in blocks of keys. To be tuned on the device.
struct ModeConstants {
  std::int32_t sequence_overhead;  // starting a sequence
  std::int32_t min_piece_blocks;   // what is worth a split
};
constexpr ModeConstants kThroughput = {3, 2};
constexpr ModeConstants kLatency = {3, 1};
constexpr ModeConstants kFixedPieces = {3, 1};
// Batch-invariant mode: part of its results, so a change changes bits.
constexpr std::int32_t kBatchInvariantPieces = 16;
constexpr std::int32_t kBatchInvariantKeysPerPiece = 1024;

// Far more ranges than any device has use for, and their cuts still fit memory.
constexpr std::int64_t kMostRanges = std::int64_t{1} << 24;

Status unsupported(const char* what, std::int64_t actual, std::int64_t most, const char* way_out,
                   const GroupInput& input) {
  return {StatusCode::kUnsupported,
          fmt::format("{}: {} of b = {}, s_q = {}, h_q = {}, h_kv = {}, must be at most {}: {}",
                      what, actual, input.problem.batch, input.problem.s_q, input.problem.h_q,
                      input.problem.h_kv, most, way_out)};
}

Status check(const GroupInput& input) {
  const AttentionProblem& problem = input.problem;
  const struct {
    const char* name;
    std::int64_t value;
    std::int64_t least;
  } counts[] = {{"problem.batch", problem.batch, 0},
                {"problem.s_q", problem.s_q, 0},
                {"problem.h_q", problem.h_q, 1},
                {"problem.h_kv", problem.h_kv, 1},
                {"num_splits", input.num_splits.value_or(1), 1},
                {"num_workers", input.num_workers, 1},
                {"rows_per_tile", input.rows_per_tile, 1},
                {"tokens_per_block", input.tokens_per_block, 1},
                {"max_group_size", input.max_group_size, 1}};
  for (const auto& count : counts) {
    if (count.value < count.least || count.value > kMostInt32) {
      return {StatusCode::kInvalidArgument,
              fmt::format("{}: is {}, must be in [{}, {}]", count.name, count.value, count.least,
                          kMostInt32)};
    }
  }
  if (problem.phase != Phase::kDecode || problem.sparsity != Sparsity::kDense) {
    return {StatusCode::kInvalidArgument, "problem: groups of workers serve a dense decode only"};
  }
  if (problem.h_q % problem.h_kv != 0) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.h_q: is {}, must be a multiple of h_kv = {}", problem.h_q,
                        problem.h_kv)};
  }
  return Status::ok();
}

/// Workers that share a sequence of num_tiles row tiles: all of them, or as many as leave the
/// fewest without work. With n workers a sequence takes ceil(num_tiles / n) turns of one of the
/// floor(num_workers / n) groups; the larger group where both come to the same.
std::int64_t choose_group_size(const GroupInput& input, std::int64_t num_tiles) {
  const std::int64_t most = std::min(input.max_group_size, input.num_workers);
  if (num_tiles <= most) return std::max<std::int64_t>(1, num_tiles);
  std::int64_t best = std::min<std::int64_t>(2, most);
  for (std::int64_t n = best + 1; n <= most; ++n) {
    if (input.num_workers / n * ceil_div(num_tiles, best) >=
        input.num_workers / best * ceil_div(num_tiles, n)) {
      best = n;
    }
  }
  return best;
}

CutRule choose_rule(const GroupInput& input, const GroupShape& shape) {
  CutRule rule;
  const auto apply = [&rule](CutRule::Kind kind, const ModeConstants& constants) {
    rule.kind = kind;
    rule.sequence_overhead = constants.sequence_overhead;
    rule.min_piece_blocks = constants.min_piece_blocks;
  };
  if (input.num_splits) {
    apply(CutRule::Kind::kPieces, kFixedPieces);
    rule.max_pieces = *input.num_splits;
  } else if (input.mode == ScheduleMode::kBatchInvariant) {
    apply(CutRule::Kind::kPieces, kFixedPieces);
    rule.max_pieces = kBatchInvariantPieces;
    rule.blocks_per_piece = std::max(1, kBatchInvariantKeysPerPiece / input.tokens_per_block);
  } else {
    const bool spread = shape.num_sequences() <= shape.num_groups;
    // Where sequences are few, groups without work are no gain in throughput either.
    const bool cuts_small = spread || input.mode == ScheduleMode::kLatency;
    apply(spread ? CutRule::Kind::kSpread : CutRule::Kind::kFlow,
          cuts_small ? kLatency : kThroughput);
  }
  return rule;
}

/// The prefix sums of cost(sequence_idx); returns their total.
template <typename Cost>
std::int64_t sum_up(std::int32_t num_sequences, std::int64_t* sums, Cost&& cost) {
  std::int64_t total = 0;
  for (std::int32_t i = 0; i < num_sequences; ++i) {
    sums[i] = total;
    total += cost(i);
  }
  sums[num_sequences] = total;
  return total;
}

/// kSpread: the smallest size of the largest piece, or 0 where even shares are better.
std::int32_t find_largest_piece(const CutRule& rule, const GroupShape& shape,
                                const std::int64_t* cost_sums) {
  const auto num_sequences = static_cast<std::int32_t>(shape.num_sequences());
  const LargestPiece sizes(rule, shape, cost_sums[num_sequences]);
  for (std::int32_t largest = sizes.least; largest <= sizes.most; ++largest) {
    std::int64_t num_pieces = 0;
    for (std::int32_t i = 0; i < num_sequences && num_pieces <= shape.num_groups; ++i) {
      num_pieces += num_spread_pieces_at(rule, cost_sums, i, largest);
    }
    if (num_pieces <= shape.num_groups) return largest;
  }
  return 0;
}

Cutter make_cutter(const GroupPlan& plan, std::span<const std::int32_t> kv_lengths,
                   std::int64_t* sums) {
  Cutter cutter;
  cutter.rule = plan.rule;
  cutter.row = {plan.shape, kv_lengths.data(), 1};
  cutter.sums = sums;
  const SequenceRow& row = cutter.row;
  const std::int64_t total = sum_up(
      row.size(), sums, [&](std::int32_t i) { return sequence_cost(plan.rule, row.blocks(i)); });
  cutter.shares = EvenShares(total, plan.shape.num_groups);
  if (plan.rule.kind != CutRule::Kind::kSpread) return cutter;
  const std::int32_t largest = find_largest_piece(plan.rule, plan.shape, sums);
  if (largest == 0) {
    cutter.rule.kind = CutRule::Kind::kFlow;
    return cutter;
  }
  sum_up(row.size(), sums, [&](std::int32_t i) -> std::int64_t {
    return num_spread_pieces(plan.rule, row.blocks(i), largest);
  });
  return cutter;
}

}  // namespace

Status choose_groups(const GroupInput& input, GroupPlan& plan) {
  plan.cuts.clear();
  plan.first_ranges.clear();
  Status status = check(input);
  if (!status) return status;
  const AttentionProblem& problem = input.problem;
  GroupShape shape;
  shape.batch = static_cast<std::int32_t>(problem.batch);
  shape.s_q = static_cast<std::int32_t>(problem.s_q);
  shape.h_kv = static_cast<std::int32_t>(problem.h_kv);
  shape.heads_per_kv = static_cast<std::int32_t>(problem.group_size());
  shape.rows_per_tile = input.rows_per_tile;
  shape.tokens_per_block = input.tokens_per_block;
  shape.is_causal = problem.mask == Mask::kCausal && problem.s_q > 1;

  const std::int64_t num_rows = problem.s_q * problem.group_size();
  const std::int64_t num_tiles = ceil_div(num_rows, input.rows_per_tile);
  const std::int64_t group_size = choose_group_size(input, num_tiles);
  const std::int64_t row_groups = ceil_div(num_tiles, group_size);
  const std::int64_t padded_rows = row_groups * group_size * input.rows_per_tile;
  if (padded_rows > kMostInt32) {
    return unsupported("query rows of a KV head, in whole groups", padded_rows, kMostInt32,
                       "split the call", input);
  }
  shape.group_size = static_cast<std::int32_t>(group_size);
  shape.row_groups = static_cast<std::int32_t>(row_groups);
  shape.num_groups = input.num_workers / shape.group_size;
  const std::int64_t sequences_a_request = problem.h_kv * row_groups;
  const std::int64_t most_a_request = kMostInt32 / std::max<std::int64_t>(1, problem.batch);
  if (sequences_a_request > most_a_request) {
    return unsupported("sequences of one request", sequences_a_request, most_a_request,
                       "split the call", input);
  }
  const CutRule rule = choose_rule(input, shape);
  const bool has_fixed_pieces = rule.kind == CutRule::Kind::kPieces;
  const std::int64_t num_ranges =
      has_fixed_pieces ? shape.num_sequences() * rule.max_pieces : shape.num_groups;
  shape.slots_per_range = has_fixed_pieces ? 1 : 2;
  const std::int64_t most_ranges =
      std::min(kMostRanges, kMostInt32 / (shape.slots_per_range * group_size));
  if (num_ranges > most_ranges) {
    const char* way_out = !has_fixed_pieces  ? "plan for fewer workers"
                          : input.num_splits ? "ask for a smaller num_splits"
                                             : "split the call";
    return unsupported("ranges", num_ranges, most_ranges, way_out, input);
  }
  shape.num_ranges = static_cast<std::int32_t>(num_ranges);
  plan.shape = shape;
  plan.rule = rule;
  return Status::ok();
}

Status cut_groups(std::span<const std::int32_t> kv_lengths, GroupPlan& plan,
                  std::vector<std::int64_t>& scratch) {
  plan.cuts.clear();
  plan.first_ranges.clear();
  const GroupShape& shape = plan.shape;
  if (kv_lengths.size() != static_cast<std::size_t>(shape.batch)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("kv_lengths: has {} entries, must have b = {}", kv_lengths.size(),
                        shape.batch)};
  }
  for (std::size_t i = 0; i < kv_lengths.size(); ++i) {
    if (kv_lengths[i] < 0) {
      return {StatusCode::kInvalidArgument,
              fmt::format("kv_lengths[{}]: is {}, must be >= 0", i, kv_lengths[i])};
    }
  }
  scratch.resize(static_cast<std::size_t>(shape.num_sequences()) + 1);
  const Cutter cutter = make_cutter(plan, kv_lengths, scratch.data());
  plan.cuts.reserve(static_cast<std::size_t>(shape.num_ranges) + 1);
  for (std::int32_t i = 0; i <= shape.num_ranges; ++i) plan.cuts.push_back(cutter.cut(i));
  plan.first_ranges.reserve(static_cast<std::size_t>(shape.num_groups) + 1);
  for (std::int32_t i = 0; i <= shape.num_groups; ++i) {
    plan.first_ranges.push_back(cutter.first_range(i));
  }
  return Status::ok();
}

}  // namespace seesaw::scheduling
