// Pieces that are cut in advance, then dealt to the workers: the largest first, each to the worker
// with the least to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "scheduling/partition.h"
#include "scheduling/scheduler.h"
#include "scheduling/split_rule.h"

namespace seesaw::scheduling {

/// Tokens of a piece in batch-invariant mode (rounded up to a granule). Splitting costs in
/// proportion to a tile's rows, as the work does, so one length serves all: some per cent of a
/// piece's time go into its partial result and merge, and a request of 1,024 tokens still keeps two
/// cores busy.
inline constexpr std::int64_t kInvariantChunk = 512;

/// Where a tile's keys are cut: a function of the tile's own rows and keys only.
struct PiecePolicy {
  enum class Kind : std::uint8_t {
    kChunk,   // every `limit` keys (a multiple of the granule)
    kCount,   // into `limit` even pieces, or as many as there are granules
    kCost,    // into even pieces worth while, as few as cost `limit` or less but for the split
    kFinest,  // into as many even pieces as are worth while
  };
  Kind kind = Kind::kChunk;
  std::int64_t limit = 0;
  SplitRule rule;

  constexpr KeyCut cut(const TileCost& tile, std::int64_t num_keys) const noexcept {
    switch (kind) {
      case Kind::kChunk:
        return chunk_cut(num_keys, rule.granule, limit);
      case Kind::kCount:
        return even_cut(num_keys, rule.granule, limit);
      case Kind::kFinest:
        return rule.finest(tile, num_keys);
      case Kind::kCost:
        break;
    }
    const std::int64_t wanted = ceil_div(tile.whole(num_keys), limit);
    const std::int64_t most = wanted > 1 ? rule.finest(tile, num_keys).num_pieces : 1;
    return even_cut(num_keys, rule.granule, std::min(wanted, most));
  }
};

/// How many pieces a policy makes of all tiles.
struct PieceTotals {
  std::int64_t num_pieces = 0;
  std::int64_t num_largest = 0;  // those that cost largest_cost
  std::int64_t largest_cost = 0;
};
PieceTotals count_pieces(const ScheduleInput& input, const PiecePolicy& policy);

/// Who gets which piece.
struct Deal {
  PieceTotals totals;
  std::int64_t makespan = 0;          // the largest load of a worker
  std::span<std::int64_t> num_items;  // [num_workers]
  std::span<std::int64_t> workers;    // [num_pieces - num_largest], of smaller pieces in plan order
};

/// Elements of scratch that deal_pieces needs.
std::size_t deal_scratch_size(std::int32_t num_workers, const PieceTotals& totals);

/// The longest-processing-time rule: worker loads differ by no more than the smallest piece of the
/// most loaded one (and 1 / 1,024 of the largest piece, to which pieces are sorted). The result
/// lies in `scratch`.
Deal deal_pieces(const ScheduleInput& input, const PiecePolicy& policy, const PieceTotals& totals,
                 std::span<std::int64_t> scratch);

/// Writes plan.{items, worker_begin, combines, num_slots} as dealt: each worker's items in plan
/// order, of the largest pieces a contiguous run.
void place_dealt(const ScheduleInput& input, const PiecePolicy& policy, const Deal& deal,
                 WorkPlan& plan);

/// Batch-invariant mode and forced splits. Errors: kUnsupported (more than 2^31 - 1 items).
Status schedule_fixed_pieces(const ScheduleInput& input, WorkPlan& plan);

}  // namespace seesaw::scheduling
