// Balanced contiguous ranges: the sequence of all tiles' blocks, cut into one range a worker.
#pragma once

#include <cstdint>
#include <span>

#include "scheduling/scheduler.h"
#include "scheduling/split_rule.h"

namespace seesaw::scheduling {

/// A place between two blocks: before block block_idx of tile tile_idx.
struct Position {
  std::int64_t tile_idx = 0;
  std::int64_t block_idx = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// The sequence to cut. Prefix sums make the cost of a range, and the farthest range under a cap, a
/// matter of one binary search; nothing here is stored but three views, so a device can hold it.
struct TileSequence {
  std::span<const WorkItem> tiles;              // whole tiles, in plan order
  std::span<const std::int64_t> cost_before;    // [num_tiles + 1]: of unsplit tiles
  std::span<const std::int64_t> blocks_before;  // [num_tiles + 1], or empty: a tile is one block
  SplitRule rule;

  std::int64_t num_tiles() const noexcept { return static_cast<std::int64_t>(tiles.size()); }
  std::int64_t num_blocks() const noexcept { return index({num_tiles(), 0}); }
  Position end() const noexcept { return {num_tiles(), 0}; }
  /// Blocks before a position.
  std::int64_t index(Position position) const noexcept;
  /// The position with that many blocks before it.
  Position at(std::int64_t num_blocks_before) const noexcept;
  TileCost tile_cost(std::int64_t tile_idx) const noexcept;
  CutPoints cuts(std::int64_t tile_idx) const noexcept;

  /// Where the longest range from `from` ends whose cost is at most `cap`; `from` itself where not
  /// even a block fits.
  Position reach(Position from, std::int64_t cap) const noexcept;
  /// True where num_workers ranges of at most `cap` each cover the sequence.
  bool fits(std::int64_t num_workers, std::int64_t cap) const noexcept;
  /// The smallest cap that fits, to within 1 / kCapPrecision of it; never below lower_bound.
  std::int64_t smallest_cap(std::int64_t num_workers, std::int64_t lower_bound) const noexcept;
};

inline constexpr std::int64_t kCapPrecision = 512;

/// Throughput and latency mode without forced splits: fills plan.{items, worker_begin, combines,
/// num_slots} for num_tiles tiles.
void schedule_ranges(const ScheduleInput& input, std::int64_t num_tiles, WorkPlan& plan);

}  // namespace seesaw::scheduling
