// Where it is worth while to cut a tile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "scheduling/cost_model.h"
#include "scheduling/partition.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::scheduling {

/// Costs of a tile's items; every item of the tile has its rows.
struct TileCost {
  std::int64_t fixed = 0;  // an item, before its first token
  std::int64_t slot = 0;   // on top where the tile is split
  std::int64_t token = 1;
  std::int64_t min_keys = 1;  // fewest keys worth splitting off

  constexpr std::int64_t whole(std::int64_t keys) const noexcept { return fixed + keys * token; }
  constexpr std::int64_t piece(std::int64_t keys) const noexcept { return whole(keys) + slot; }
};

struct SplitRule {
  CostModel cost;
  std::int64_t granule = 1;
  std::int64_t mean_load = 0;  // of a worker, without any split
  ScheduleMode mode = ScheduleMode::kThroughput;

  /// Least work worth splitting off. Throughput: a split adds half of it at the most. Latency: it
  /// exceeds what the split puts on the critical path, a partial result's write and merge. In
  /// either mode no less than 1 / 128 of a worker's load: less would balance nothing.
  /// Always more than the write: so both pieces of a tile cost less than the whole, which the
  /// searches for ranges rely on.
  constexpr std::int64_t min_work(std::int64_t rows) const noexcept {
    const std::int64_t worth = mode == ScheduleMode::kLatency
                                   ? cost.split_overhead(rows) - cost.fixed_cost(rows)
                                   : 2 * cost.split_overhead(rows);
    return std::max(worth, mean_load / 128);
  }
  constexpr TileCost tile_cost(std::int64_t rows) const noexcept {
    constexpr std::int64_t kMostKeys = std::int64_t{1} << 31;  // more than any tile has
    const std::int64_t token = cost.token_cost(rows);
    const std::int64_t min_keys = ceil_div(min_work(rows), token);
    return {cost.fixed_cost(rows), cost.slot_cost(rows), token,
            std::clamp<std::int64_t>(min_keys, 1, kMostKeys)};
  }
  /// The most pieces of a tile that are all worth while.
  constexpr KeyCut finest(const TileCost& tile, std::int64_t keys) const noexcept {
    return finest_cut(keys, granule, tile.min_keys);
  }
  /// The places where a range of a worker may end within a tile; steps of 1 / 256 of a worker's
  /// load, or a granule, are fine enough.
  constexpr CutPoints cuts(const TileCost& tile, std::int64_t keys) const noexcept {
    if (keys < 2 * tile.min_keys) return {};
    const std::int64_t granules = mean_load / 256 / (granule * tile.token);
    return cut_points(keys, granule, std::max<std::int64_t>(1, granules) * granule, tile.min_keys);
  }
};

}  // namespace seesaw::scheduling
