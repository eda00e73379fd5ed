// What must hold of every schedule, computed from the input and the finished plan alone: nothing
// here calls the code under test.
#pragma once

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

/// A run of keys that is never split: of a tile's rows, at the tile's keys [begin, end).
struct Block {
  std::int64_t tile_idx = 0;
  std::int64_t rows = 0;
  std::int64_t keys = 0;
  bool tile_is_one_block = true;
};

/// The finest cut that is worth its overhead: as many even pieces as have the work of min_work, by
/// trying every number of pieces. In plan order. docs/scheduling.md has the definition.
struct BlockList {
  std::vector<Block> blocks;
  std::int64_t mean_load = 0;      // without splits, rounded up
  std::int64_t largest_block = 0;  // cost, as a piece of its tile
  std::int64_t lower_bound() const { return std::max(mean_load, largest_block); }
};
BlockList list_blocks(const ScheduleInput& input, const WorkPlan& plan);

/// Fewest keys that a block of `rows` rows may have.
std::int64_t min_block_keys(const ScheduleInput& input, std::int64_t mean_load, std::int64_t rows);

/// How many blocks a worker could be relieved of: the sum over its items of the most pieces they
/// could be cut into.
std::int64_t movable_blocks(const ScheduleInput& input, const WorkPlan& plan,
                            const BlockList& blocks, int worker);

/// The least makespan of all cuts of the block sequence into at most num_workers ranges, by dynamic
/// programming over every cut: O(num_workers * blocks^2).
std::int64_t best_contiguous_makespan(const ScheduleInput& input, const BlockList& blocks);

/// The least makespan of all assignments of pieces to workers, by branch and bound: small cases.
std::int64_t best_makespan(std::vector<std::int64_t> piece_costs, std::int64_t num_workers);

}  // namespace seesaw::scheduling::testing
