// How finely a tile may be cut: the blocks that are never cut further.
#pragma once

#include <algorithm>
#include <cstdint>

#include "scheduling/cost_model.h"
#include "scheduling/partition.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::scheduling {

/// Costs of a tile's items; every item of the tile has its rows.
struct TileCost {
  std::int64_t fixed = 0;     // an item, before its first token
  std::int64_t slot = 0;      // on top where the tile is split
  std::int64_t token = 1;
  std::int64_t min_keys = 1;  // fewest keys of a block

  constexpr std::int64_t whole(std::int64_t keys) const noexcept { return fixed + keys * token; }
  constexpr std::int64_t piece(std::int64_t keys) const noexcept { return whole(keys) + slot; }
};

/// A block holds at least the work that makes splitting it off worth while, and no less than
/// 1 / kBlocksPerWorker of a worker's share: finer cuts would balance nothing.
struct SplitRule {
  static constexpr std::int64_t kBlocksPerWorker = 128;

  CostModel cost;
  std::int64_t granule = 1;
  std::int64_t mean_load = 0;  // of a worker, without any split
  ScheduleMode mode = ScheduleMode::kThroughput;

  /// Throughput: splitting adds half of the block's own work at the most. Latency: splitting off a
  /// block shortens the critical path, the partial result's write and merge included.
  /// Both exceed the write alone, which makes two pieces of a tile cost less each than the whole:
  /// the searches for ranges rely on that.
  constexpr std::int64_t min_work(std::int64_t rows) const noexcept {
    const std::int64_t worth = mode == ScheduleMode::kLatency
                                   ? cost.split_overhead(rows) - cost.fixed_cost(rows)
                                   : 2 * cost.split_overhead(rows);
    return std::max(worth, mean_load / kBlocksPerWorker);
  }
  constexpr TileCost tile_cost(std::int64_t rows) const noexcept {
    constexpr std::int64_t kMostKeys = std::int64_t{1} << 31;  // more than any tile has
    const std::int64_t token = cost.token_cost(rows);
    const std::int64_t min_keys = ceil_div(min_work(rows), token);
    return {cost.fixed_cost(rows), cost.slot_cost(rows), token,
            std::clamp<std::int64_t>(min_keys, 1, kMostKeys)};
  }
  constexpr KeyCut blocks(const TileCost& tile, std::int64_t keys) const noexcept {
    return block_cut(keys, granule, tile.min_keys);
  }
};

}  // namespace seesaw::scheduling
