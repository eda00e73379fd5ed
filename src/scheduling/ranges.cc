#include "scheduling/ranges.h"

#include <algorithm>

#include "scheduling/deal.h"
#include "scheduling/tiles.h"

namespace seesaw::scheduling {

std::int64_t TileSequence::index(Position position) const noexcept {
  if (blocks_before.empty()) return position.tile_idx;
  return blocks_before[static_cast<std::size_t>(position.tile_idx)] + position.block_idx;
}

Position TileSequence::at(std::int64_t num_blocks_before) const noexcept {
  if (blocks_before.empty()) return {num_blocks_before, 0};
  const auto after =
      std::upper_bound(blocks_before.begin(), blocks_before.end(), num_blocks_before);
  return {after - blocks_before.begin() - 1, num_blocks_before - *(after - 1)};
}

TileCost TileSequence::tile_cost(std::int64_t tile_idx) const noexcept {
  const WorkItem& tile = tiles[static_cast<std::size_t>(tile_idx)];
  return rule.tile_cost(tile.row_end - tile.row_begin);
}

CutPoints TileSequence::cuts(std::int64_t tile_idx) const noexcept {
  if (blocks_before.empty()) return {};
  return rule.cuts(tile_cost(tile_idx), tiles[static_cast<std::size_t>(tile_idx)].kv_end);
}

Position TileSequence::reach(Position from, std::int64_t cap) const noexcept {
  // The last block of the tile that a piece from key `begin` on may stop before, under `budget`.
  const auto stop_within = [this](std::int64_t tile_idx, std::int64_t begin, std::int64_t budget) {
    const TileCost cost = tile_cost(tile_idx);
    const std::int64_t keys = (budget - cost.piece(0)) / cost.token;
    return budget < cost.piece(0) ? 0 : cuts(tile_idx).last_begin_within(begin + keys);
  };
  if (from.block_idx > 0) {
    const std::int64_t begin = cuts(from.tile_idx).begin(from.block_idx);
    const std::int64_t keys = tiles[static_cast<std::size_t>(from.tile_idx)].kv_end;
    const std::int64_t rest = tile_cost(from.tile_idx).piece(keys - begin);
    if (rest > cap) {
      return {from.tile_idx, std::max(from.block_idx, stop_within(from.tile_idx, begin, cap))};
    }
    cap -= rest;
    from = {from.tile_idx + 1, 0};
  }
  const auto first = cost_before.begin() + from.tile_idx;
  const std::int64_t cost_end = *first + cap;
  const auto after = std::upper_bound(first, cost_before.end(), cost_end);
  const std::int64_t tile_idx = after - cost_before.begin() - 1;
  if (tile_idx == num_tiles()) return end();
  return {tile_idx, stop_within(tile_idx, 0, cost_end - *(after - 1))};
}

// Taking the longest range each time is best: for p <= q the range from q to anywhere costs at most
// what the range from p to there costs (SplitRule::min_work), so starting later never ends earlier.
bool TileSequence::fits(std::int64_t num_workers, std::int64_t cap) const noexcept {
  Position position;
  for (std::int64_t i = 0; i < num_workers && position != end(); ++i) {
    const Position next = reach(position, cap);
    if (next == position) return false;
    position = next;
  }
  return position == end();
}

std::int64_t TileSequence::smallest_cap(std::int64_t num_workers,
                                        std::int64_t lower_bound) const noexcept {
  if (fits(num_workers, lower_bound)) return lower_bound;
  std::int64_t too_small = lower_bound;
  std::int64_t step = lower_bound / 64 + 1;
  std::int64_t cap = lower_bound + step;
  for (; !fits(num_workers, cap); cap += step) {
    too_small = cap;
    step *= 2;
  }
  while (cap - too_small > cap / kCapPrecision + 1) {
    const std::int64_t middle = too_small + (cap - too_small) / 2;
    (fits(num_workers, middle) ? cap : too_small) = middle;
  }
  return cap;
}

namespace {

// Tiles a worker up to which ranges may be so uneven that dealing is tried.
constexpr std::int64_t kDealtTilesPerWorker = 64;

/// Views of plan.planner_scratch, which is grown first so that they stay valid.
struct RangeScratch {
  std::span<std::int64_t> cost_before;    // [num_tiles + 1]
  std::span<std::int64_t> blocks_before;  // [num_tiles + 1]
  std::span<std::int64_t> cut_tiles;      // [num_workers + 1]
  std::span<std::int64_t> cut_blocks;     // [num_workers + 1]
  std::size_t num_elements = 0;           // taken in all
};

RangeScratch take_scratch(std::vector<std::int64_t>& memory, std::int64_t num_tiles,
                          std::int64_t num_workers) {
  const auto per_tile = static_cast<std::size_t>(num_tiles) + 1;
  const auto per_worker = static_cast<std::size_t>(num_workers) + 1;
  const std::size_t taken = 2 * (per_tile + per_worker);
  std::size_t needed = taken;
  if (num_tiles <= kDealtTilesPerWorker * num_workers) {  // see schedule_ranges
    const PieceTotals most{.num_pieces = num_tiles + num_workers};
    needed += deal_scratch_size(static_cast<std::int32_t>(num_workers), most);
  }
  if (memory.size() < needed) memory.resize(needed);
  const std::span<std::int64_t> all(memory);
  return {all.subspan(0, per_tile), all.subspan(per_tile, per_tile),
          all.subspan(2 * per_tile, per_worker), all.subspan(2 * per_tile + per_worker, per_worker),
          taken};
}

/// Writes whole tiles into plan.items and their costs' prefix sums.
void build_tiles(const ScheduleInput& input, const SplitRule& rule,
                 std::span<std::int64_t> cost_before, std::vector<WorkItem>& tiles) {
  std::size_t num_tiles = 0;
  std::int64_t sum = 0;
  std::int64_t rows = -1;  // of the tile before: most tiles are alike
  TileCost cost;
  for_each_tile(input, [&](const WorkItem& tile) {
    if (tile.row_end - tile.row_begin != rows) {
      rows = tile.row_end - tile.row_begin;
      cost = rule.tile_cost(rows);
    }
    tiles[num_tiles] = tile;
    cost_before[num_tiles++] = sum;
    sum += cost.whole(tile.kv_end);
  });
  cost_before[num_tiles] = sum;
}

struct BlockFacts {
  std::int64_t most_pieces = 0;    // that all tiles can be cut into, each worth while
  std::int64_t largest_block = 0;  // cost
  std::int64_t largest_tile = 0;   // cost
};

/// Writes the prefix sums of the tiles' numbers of blocks.
BlockFacts count_blocks(const SplitRule& rule, std::span<const WorkItem> tiles,
                        std::span<std::int64_t> blocks_before) {
  BlockFacts facts;
  std::int64_t sum = 0;
  std::int64_t rows = -1;
  std::int64_t keys = -1;
  std::int64_t num_blocks = 0;
  std::int64_t most_pieces = 0;
  TileCost cost;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const WorkItem& tile = tiles[i];
    if (tile.row_end - tile.row_begin != rows || tile.kv_end != keys) {
      if (tile.row_end - tile.row_begin != rows) {
        rows = tile.row_end - tile.row_begin;
        cost = rule.tile_cost(rows);
      }
      keys = tile.kv_end;
      const CutPoints cuts = rule.cuts(cost, keys);
      num_blocks = cuts.num_blocks();
      most_pieces = num_blocks == 1 ? 1 : rule.finest(cost, keys).num_pieces;
      const std::int64_t largest = cuts.largest_block(keys);
      facts.largest_block =
          std::max(facts.largest_block, num_blocks == 1 ? cost.whole(keys) : cost.piece(largest));
      facts.largest_tile = std::max(facts.largest_tile, cost.whole(keys));
    }
    facts.most_pieces += most_pieces;
    blocks_before[i] = sum;
    sum += num_blocks;
  }
  blocks_before[tiles.size()] = sum;
  return facts;
}

/// The ends of the workers' ranges: each as long as `cap` allows, but leaving a block for each of
/// the workers after it, of which there are no more than blocks.
///
/// The ranges cover the sequence if `cap` fits and no block exceeds it: as long as a range is not
/// shortened it is the longest one, as in fits(); once one is shortened, as many blocks are left as
/// workers, and from then on each takes exactly one.
void cut_ranges(const TileSequence& sequence, std::int64_t num_workers, std::int64_t cap,
                const RangeScratch& scratch) {
  Position position;
  for (std::int64_t worker = 0; worker <= num_workers; ++worker) {
    scratch.cut_tiles[static_cast<std::size_t>(worker)] = position.tile_idx;
    scratch.cut_blocks[static_cast<std::size_t>(worker)] = position.block_idx;
    if (worker == num_workers) break;
    const Position longest = sequence.reach(position, cap);
    const std::int64_t limit = sequence.num_blocks() - (num_workers - worker - 1);
    position = sequence.index(longest) <= limit ? longest : sequence.at(limit);
  }
}

/// Lists the tiles that are cut, with their slots. Returns the number of cuts inside tiles.
std::int64_t list_combines(const RangeScratch& scratch, WorkPlan& plan) {
  std::int64_t num_cuts = 0;
  std::int64_t tile_cut_before = -1;
  for (std::size_t i = 0; i < scratch.cut_tiles.size(); ++i) {
    if (scratch.cut_blocks[i] == 0) continue;
    ++num_cuts;
    if (scratch.cut_tiles[i] != tile_cut_before) {
      tile_cut_before = scratch.cut_tiles[i];
      const WorkItem& tile = plan.items[static_cast<std::size_t>(tile_cut_before)];
      plan.combines.push_back({.request_idx = tile.request_idx,
                               .kv_head_idx = tile.kv_head_idx,
                               .row_begin = tile.row_begin,
                               .row_end = tile.row_end,
                               .slot_begin = plan.num_slots,
                               .num_splits = 1});
      ++plan.num_slots;
    }
    ++plan.combines.back().num_splits;
    ++plan.num_slots;
  }
  return num_cuts;
}

/// Turns plan.items from whole tiles into the workers' items, in place and from the back: with c
/// cuts inside tiles before it, item i + c is made of tile i, so no tile is overwritten before its
/// last use.
void place_items(const TileSequence& sequence, const RangeScratch& scratch, std::int64_t num_cuts,
                 WorkPlan& plan) {
  std::int64_t item_idx = sequence.num_tiles() + num_cuts;
  std::int32_t slot_end = plan.num_slots;
  for (std::size_t worker = plan.worker_begin.size() - 1; worker-- > 0;) {
    plan.worker_begin[worker + 1] = static_cast<std::int32_t>(item_idx);
    const Position begin{scratch.cut_tiles[worker], scratch.cut_blocks[worker]};
    const Position end{scratch.cut_tiles[worker + 1], scratch.cut_blocks[worker + 1]};
    const auto place_piece = [&](std::int64_t tile_idx, std::int64_t kv_begin,
                                 std::int64_t kv_end) {
      WorkItem item = plan.items[static_cast<std::size_t>(tile_idx)];
      item.kv_begin = static_cast<std::int32_t>(kv_begin);
      item.kv_end = static_cast<std::int32_t>(kv_end);
      item.slot_idx = --slot_end;
      plan.items[static_cast<std::size_t>(--item_idx)] = item;
    };
    const std::int64_t first_key =
        begin.block_idx > 0 ? sequence.cuts(begin.tile_idx).begin(begin.block_idx) : 0;
    if (end.block_idx > 0) {
      const std::int64_t kv_end = sequence.cuts(end.tile_idx).begin(end.block_idx);
      place_piece(end.tile_idx, begin.tile_idx == end.tile_idx ? first_key : 0, kv_end);
    }
    if (begin.tile_idx == end.tile_idx) continue;
    const std::int64_t first_whole = begin.tile_idx + (begin.block_idx > 0 ? 1 : 0);
    if (num_cuts == 0) {
      item_idx = first_whole;  // each tile is in its place already
    } else {
      for (std::int64_t tile_idx = end.tile_idx; tile_idx-- > first_whole;) {
        plan.items[static_cast<std::size_t>(--item_idx)] =
            plan.items[static_cast<std::size_t>(tile_idx)];
      }
    }
    if (begin.block_idx > 0) {
      const WorkItem& tile = plan.items[static_cast<std::size_t>(begin.tile_idx)];
      place_piece(begin.tile_idx, first_key, tile.kv_end);
    }
  }
}

/// Everything that schedule_ranges derives from the lengths before it cuts.
struct Preparation {
  RangeScratch scratch;
  SplitRule rule;
  BlockFacts facts;
  std::int64_t lower_bound = 0;  // no schedule beats it: the mean load, or the largest block
};

Preparation prepare(const ScheduleInput& input, std::int64_t num_tiles, WorkPlan& plan) {
  Preparation prepared;
  const auto num_workers = static_cast<std::size_t>(input.num_workers);
  // With room for every cut, since more of them come and go as lengths grow.
  plan.items.reserve(static_cast<std::size_t>(num_tiles) + num_workers - 1);
  plan.combines.reserve(num_workers - 1);
  plan.items.resize(static_cast<std::size_t>(num_tiles));
  prepared.scratch = take_scratch(plan.planner_scratch, num_tiles, input.num_workers);
  SplitRule& rule = prepared.rule;
  rule = {.cost = input.cost, .granule = input.kv_granule, .mode = input.mode};
  build_tiles(input, rule, prepared.scratch.cost_before, plan.items);
  rule.mean_load = ceil_div(prepared.scratch.cost_before.back(), input.num_workers);
  prepared.facts = count_blocks(rule, plan.items, prepared.scratch.blocks_before);
  prepared.lower_bound = std::max(rule.mean_load, prepared.facts.largest_block);
  return prepared;
}

/// The sequence to cut, of whole tiles or of blocks, and under which cap.
struct Choice {
  TileSequence sequence;
  std::int64_t cap = 0;
};

/// Whole tiles where they balance as well, or so well that no split is worth its merge, for which
/// all workers wait. Only blocks can give each worker a share where there are fewer tiles.
Choice choose_sequence(const Preparation& prepared, std::span<const WorkItem> tiles,
                       std::int32_t num_workers) {
  const TileSequence blocks{tiles, prepared.scratch.cost_before, prepared.scratch.blocks_before,
                            prepared.rule};
  if (blocks.num_tiles() < num_workers) {
    return {blocks, blocks.smallest_cap(num_workers, prepared.lower_bound)};
  }
  TileSequence whole = blocks;
  whole.blocks_before = {};
  const std::int64_t whole_cap =
      whole.smallest_cap(num_workers, std::max(prepared.lower_bound, prepared.facts.largest_tile));
  if (whole_cap <= prepared.lower_bound + prepared.lower_bound / 50) return {whole, whole_cap};
  const std::int64_t cap = blocks.smallest_cap(num_workers, prepared.lower_bound);
  return whole_cap <= cap ? Choice{whole, whole_cap} : Choice{blocks, cap};
}

/// The part of plan.planner_scratch that the range scratch leaves for dealing.
std::span<std::int64_t> deal_scratch(const Preparation& prepared, WorkPlan& plan) {
  return std::span(plan.planner_scratch).subspan(prepared.scratch.num_elements);
}

/// Each of the most pieces worth while to a worker of its own, of which there are enough.
void deal_finest(const ScheduleInput& input, const Preparation& prepared, WorkPlan& plan) {
  const PiecePolicy policy{PiecePolicy::Kind::kFinest, 0, prepared.rule};
  const PieceTotals totals = count_pieces(input, policy);
  place_dealt(input, policy, deal_pieces(input, policy, totals, deal_scratch(prepared, plan)),
              plan);
}

/// Deals whole tiles, and those above the lower bound in pieces, where that takes 2 % less than
/// `cap` and leaves no worker without work. Returns true if it did.
bool deal_if_better(const ScheduleInput& input, const Preparation& prepared, std::int64_t cap,
                    WorkPlan& plan) {
  const PiecePolicy policy{PiecePolicy::Kind::kCost, prepared.lower_bound, prepared.rule};
  const PieceTotals totals = count_pieces(input, policy);
  if (totals.num_pieces < input.num_workers) return false;
  const Deal deal = deal_pieces(input, policy, totals, deal_scratch(prepared, plan));
  if (deal.makespan > cap - cap / 50) return false;
  place_dealt(input, policy, deal, plan);
  return true;
}

}  // namespace

// Three ways to divide, each with at most num_workers - 1 splits in all:
//   - fewer pieces worth while than workers: each piece to a worker of its own;
//   - ranges under the smallest cap;
//   - where ranges are far from even (few tiles a worker, of different lengths), tiles dealt one by
//     one, those above the lower bound in pieces. A tile of cost c is cut
//     ceil(c / bound) - 1 < c / bound times, and the costs add up to num_workers * bound at most.
void schedule_ranges(const ScheduleInput& input, std::int64_t num_tiles, WorkPlan& plan) {
  const Preparation prepared = prepare(input, num_tiles, plan);
  if (prepared.facts.most_pieces <= input.num_workers) return deal_finest(input, prepared, plan);
  const Choice choice = choose_sequence(prepared, plan.items, input.num_workers);
  const bool uneven = choice.cap > prepared.lower_bound + prepared.lower_bound / 20;
  if (uneven && num_tiles <= kDealtTilesPerWorker * input.num_workers &&
      deal_if_better(input, prepared, choice.cap, plan)) {
    return;
  }
  cut_ranges(choice.sequence, input.num_workers, choice.cap, prepared.scratch);
  const std::int64_t num_cuts = list_combines(prepared.scratch, plan);
  plan.items.resize(static_cast<std::size_t>(num_tiles + num_cuts));  // within what was reserved
  place_items(choice.sequence, prepared.scratch, num_cuts, plan);
}

}  // namespace seesaw::scheduling
