// Calls for groups of workers, of every rule and with lengths of many kinds.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scheduling/group_cuts.h"
#include "scheduling/partition.h"
#include "support/seed.h"

namespace seesaw::scheduling::testing {

struct GroupCase {
  GroupInput input;
  std::vector<std::int32_t> kv_lengths;
  // In place of those of choose_groups: rules hold whatever the constants are tuned to.
  std::optional<std::int32_t> sequence_overhead;
  std::optional<std::int32_t> min_piece_blocks;

  /// The plan without its cuts.
  Status choose(GroupPlan& plan) const {
    const Status status = choose_groups(input, plan);
    plan.rule.sequence_overhead = sequence_overhead.value_or(plan.rule.sequence_overhead);
    plan.rule.min_piece_blocks = min_piece_blocks.value_or(plan.rule.min_piece_blocks);
    return status;
  }

  std::string describe() const {
    const AttentionProblem& problem = input.problem;
    return fmt::format(
        "b {} s_q {} h_q {} h_kv {} {}, mode {}, num_splits {}, {} workers in groups of {} at "
        "most, "
        "rows_per_tile {}, tokens_per_block {}, sequence_overhead {}, min_piece_blocks {}, "
        "kv_lengths {} (40 shown at most)",
        problem.batch, problem.s_q, problem.h_q, problem.h_kv,
        problem.mask == Mask::kCausal ? "causal" : "unmasked", to_string(input.mode),
        input.num_splits.value_or(0), input.num_workers, input.max_group_size, input.rows_per_tile,
        input.tokens_per_block, sequence_overhead.value_or(-1), min_piece_blocks.value_or(-1),
        std::vector<std::int32_t>(
            kv_lengths.begin(),
            kv_lengths.begin() + std::min<std::ptrdiff_t>(std::ssize(kv_lengths), 40)));
  }
};

/// Zeros, ones, equal, around a mean, anything, one giant among short ones, many zeros, or zeros at
/// the end (as a padded batch has).
inline std::vector<std::int32_t> random_group_lengths(::seesaw::testing::Rng& rng,
                                                      std::int64_t batch, std::int32_t most) {
  using ::seesaw::testing::uniform;
  std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch));
  const std::int64_t kind = uniform(rng, 0, 7);
  const auto any = [&] { return static_cast<std::int32_t>(uniform(rng, 0, most)); };
  const std::int32_t mean = any();
  for (std::int32_t& length : lengths) {
    switch (kind) {
      case 0:
      case 1:
        length = static_cast<std::int32_t>(kind);
        break;
      case 2:
        length = mean;
        break;
      case 3:
        length = static_cast<std::int32_t>(uniform(rng, mean - mean / 4, mean));
        break;
      case 4:
        length = static_cast<std::int32_t>(uniform(rng, 0, most / 100));
        break;
      case 5:
        length = uniform(rng, 0, 1) == 0 ? 0 : any();
        break;
      default:
        length = any();
    }
  }
  if (kind == 4 && batch > 0) lengths[static_cast<std::size_t>(uniform(rng, 0, batch - 1))] = most;
  if (kind == 6) {
    std::fill(lengths.begin() + static_cast<std::ptrdiff_t>(uniform(rng, 0, batch)), lengths.end(),
              0);
  }
  return lengths;
}

/// Anything that choose_groups takes: every rule, mask, several KV heads, rows from less than a
/// tile to many groups of tiles.
inline GroupCase random_group_case(::seesaw::testing::Rng& rng, std::int64_t most_batch = 200,
                                   std::int32_t most_keys = 20'000) {
  using ::seesaw::testing::uniform;
  const auto pick = [&rng](std::int64_t first, std::int64_t last) {
    return static_cast<std::int32_t>(uniform(rng, first, last));
  };
  GroupCase c;
  AttentionProblem& problem = c.input.problem;
  // Small batches are where the rules differ, so they come as often as large ones.
  problem.batch = uniform(
      rng, 0, uniform(rng, 0, 1) == 0 ? std::min<std::int64_t>(most_batch, 16) : most_batch);
  problem.s_q = uniform(rng, 0, 3) == 0 ? uniform(rng, 1, 40) : uniform(rng, 1, 2);
  problem.h_kv = uniform(rng, 0, 2) == 0 ? uniform(rng, 2, 8) : 1;
  problem.h_q = problem.h_kv * uniform(rng, 1, 128);
  problem.mask = uniform(rng, 0, 1) == 0 ? Mask::kCausal : Mask::kNone;
  c.input.mode = static_cast<ScheduleMode>(uniform(rng, 0, 2));
  if (uniform(rng, 0, 4) == 0) c.input.num_splits = pick(1, 200);
  c.input.num_workers = uniform(rng, 0, 1) == 0 ? 132 : pick(1, 200);
  c.input.rows_per_tile = uniform(rng, 0, 3) == 0 ? pick(1, 128) : 64;
  c.input.tokens_per_block = uniform(rng, 0, 3) == 0 ? pick(1, 256) : 64;
  c.input.max_group_size = pick(1, 8);
  if (uniform(rng, 0, 1) == 0) {
    c.sequence_overhead = pick(0, 6);
    c.min_piece_blocks = pick(1, 9);
  }
  // A plan of fixed pieces has sequences times pieces ranges: stay below where planning takes long,
  // and far below what choose_groups numbers.
  const std::int64_t most_ranges = std::int64_t{1} << 20;
  const std::int64_t tiles_a_request =
      problem.h_kv * ceil_div(problem.s_q * problem.group_size(), c.input.rows_per_tile);
  const std::int64_t most_pieces = std::max(16, c.input.num_splits.value_or(1));
  problem.batch = std::min(
      problem.batch, std::max<std::int64_t>(1, most_ranges / (tiles_a_request * most_pieces)));
  c.kv_lengths = random_group_lengths(rng, problem.batch, most_keys);
  return c;
}

}  // namespace seesaw::scheduling::testing
