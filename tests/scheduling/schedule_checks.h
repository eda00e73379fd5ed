// What must hold of every schedule, computed from the input and the finished plan alone: nothing
// here calls the code under test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "scheduling/schedule_case.h"

namespace seesaw::scheduling::testing {

/// (request, KV head, first row, end row).
using TileKey = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>;

/// A tile as the plan splits it, pieces in the order they are merged.
struct PlannedTile {
  std::vector<WorkItem> pieces;
  std::vector<int> workers;
};
std::map<TileKey, PlannedTile> planned_tiles(const WorkPlan& plan);

/// Empty if every row is in one tile, every tile visits each key that any of its rows may see once
/// and in order, tiles respect rows_per_tile and query tokens (top-k), pieces begin at granules,
/// slots and combines name each other, and each item belongs to one worker; else what is wrong.
std::string find_flaw(const ScheduleInput& input, const WorkPlan& plan);

/// Costs of each worker's items.
std::vector<std::int64_t> worker_loads(const ScheduleInput& input, const WorkPlan& plan);

/// A run of keys within which no range ends.
struct Block {
  std::int64_t tile_idx = 0;
  std::int64_t rows = 0;
  std::int64_t keys = 0;
  bool tile_is_one_block = true;
};

/// What docs/scheduling.md ("What is worth a split") says of the call, in the plainest arithmetic.
/// A cut of a tile is worth while at granules that leave the work of min_block_keys on both sides.
struct WorkBounds {
  std::int64_t mean_load = 0;      // without splits, rounded up
  std::int64_t most_pieces = 0;    // all tiles cut into as many pieces as are worth while
  std::int64_t largest_block = 0;  // cost of the largest piece that cannot be cut
  std::int64_t lower_bound() const { return std::max(mean_load, largest_block); }
};
WorkBounds work_bounds(const ScheduleInput& input, const WorkPlan& plan);

/// All blocks between cuts worth while, in plan order.
std::vector<Block> list_blocks(const ScheduleInput& input, const WorkPlan& plan,
                               std::int64_t mean_load);

/// Fewest keys worth splitting off a tile of `rows` rows.
std::int64_t min_block_keys(const ScheduleInput& input, std::int64_t mean_load, std::int64_t rows);

/// How many workers could share a worker's items: the sum of the most pieces worth while that each
/// could be cut into.
std::int64_t movable_blocks(const ScheduleInput& input, const WorkPlan& plan,
                            std::int64_t mean_load, int worker);

/// The least makespan of all cuts of the block sequence into at most num_workers ranges, by dynamic
/// programming over every cut: O(num_workers * blocks^2).
std::int64_t best_contiguous_makespan(const ScheduleInput& input, const std::vector<Block>& blocks);

/// The least makespan of all assignments of pieces to workers, by branch and bound: small cases.
std::int64_t best_makespan(std::vector<std::int64_t> piece_costs, std::int64_t num_workers);

}  // namespace seesaw::scheduling::testing
