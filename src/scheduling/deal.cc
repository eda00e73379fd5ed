#include "scheduling/deal.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "scheduling/tiles.h"

namespace seesaw::scheduling {
namespace {

/// The pieces of a tile come in three sizes at most: the first ones, longer ones, and the last.
struct PieceRuns {
  KeyCut cut;
  std::int64_t num_first = 0;
  std::int64_t num_long = 0;
  std::int64_t first_cost = 0;
  std::int64_t long_cost = 0;
  std::int64_t last_cost = 0;

  std::int64_t cost(std::int64_t piece_idx) const noexcept {
    if (piece_idx + 1 == cut.num_pieces) return last_cost;
    return piece_idx < num_first ? first_cost : long_cost;
  }
};

/// Cuts and costs of tiles; remembers the tile before, since most tiles are alike.
class TileCutter {
 public:
  explicit TileCutter(const PiecePolicy& policy) : policy_(policy) {}

  const PieceRuns& cut(const WorkItem& tile) {
    if (tile.row_end - tile.row_begin != rows_) {
      rows_ = tile.row_end - tile.row_begin;
      cost_ = policy_.rule.tile_cost(rows_);
    } else if (tile.kv_end == keys_) {
      return runs_;
    }
    keys_ = tile.kv_end;
    const KeyCut cut = policy_.cut(cost_, keys_);
    runs_.cut = cut;
    runs_.num_long = std::max<std::int64_t>(0, cut.num_long - 1);
    runs_.num_first = cut.num_pieces - 1 - runs_.num_long;
    if (cut.num_pieces == 1) {
      runs_.last_cost = cost_.whole(keys_);
    } else {
      runs_.first_cost = cost_.piece(cut.base * cut.granule);
      runs_.long_cost = cost_.piece((cut.base + 1) * cut.granule);
      runs_.last_cost = cost_.piece(cut.size(cut.num_pieces - 1));
    }
    return runs_;
  }

 private:
  const PiecePolicy& policy_;
  std::int64_t rows_ = -1;
  std::int64_t keys_ = -1;
  TileCost cost_;
  PieceRuns runs_;
};

/// Calls visit(count, cost) for the runs of equal pieces of every tile, in plan order.
template <typename Visit>
void for_each_run(const ScheduleInput& input, const PiecePolicy& policy, Visit&& visit) {
  TileCutter cutter(policy);
  for_each_tile(input, [&](const WorkItem& tile) {
    const PieceRuns& runs = cutter.cut(tile);
    if (runs.num_first > 0) visit(runs.num_first, runs.first_cost);
    if (runs.num_long > 0) visit(runs.num_long, runs.long_cost);
    visit(std::int64_t{1}, runs.last_cost);
  });
}

/// Deals out the largest pieces: worker after worker takes a run of equal length, one piece longer
/// for the first workers where they do not come out even.
struct EvenRuns {
  std::int64_t length = 0;
  std::int64_t num_longer = 0;

  EvenRuns(std::int64_t num_pieces, std::int64_t num_workers)
      : length(num_pieces / num_workers), num_longer(num_pieces % num_workers) {}
  std::int64_t of(std::int64_t worker) const noexcept {
    return length + (worker < num_longer ? 1 : 0);
  }
};

/// Workers by their load, the least loaded one on top.
class WorkerHeap {
 public:
  /// Each worker starts with its run of pieces of that cost. Ordered by load that is a heap.
  WorkerHeap(std::span<std::int64_t> loads, std::span<std::int64_t> workers, const EvenRuns& runs,
             std::int64_t cost)
      : loads_(loads), workers_(workers) {
    const auto num_workers = static_cast<std::int64_t>(loads.size());
    for (std::int64_t i = 0; i < num_workers; ++i) {
      const std::int64_t worker = (i + runs.num_longer) % num_workers;
      workers_[static_cast<std::size_t>(i)] = worker;
      loads_[static_cast<std::size_t>(i)] = cost * runs.of(worker);
    }
    largest_load_ = cost * runs.of(0);
  }

  std::int64_t largest_load() const noexcept { return largest_load_; }

  /// Gives the least loaded worker `cost` more and returns it. The hole it leaves on top sinks to a
  /// leaf and the worker rises from there, mostly not at all: so no branch depends on the loads
  /// until the end, where nearly all go the same way.
  std::int64_t add_to_least(std::int64_t cost) {
    const std::int64_t worker = workers_[0];
    const std::int64_t load = loads_[0] + cost;
    largest_load_ = std::max(largest_load_, load);
    const std::size_t size = loads_.size();
    std::size_t hole = 0;
    for (std::size_t child = 2; child < size; child = 2 * hole + 2) {
      child -= static_cast<std::size_t>(loads_[child - 1] <= loads_[child]);
      move(child, hole);
      hole = child;
    }
    if (2 * hole + 1 < size) {  // an only child, the last leaf
      move(2 * hole + 1, hole);
      hole = 2 * hole + 1;
    }
    for (; hole > 0 && loads_[(hole - 1) / 2] > load; hole = (hole - 1) / 2) {
      move((hole - 1) / 2, hole);
    }
    loads_[hole] = load;
    workers_[hole] = worker;
    return worker;
  }

 private:
  void move(std::size_t from, std::size_t to) {
    loads_[to] = loads_[from];
    workers_[to] = workers_[from];
  }
  std::span<std::int64_t> loads_;
  std::span<std::int64_t> workers_;
  std::int64_t largest_load_ = 0;
};

// Pieces are dealt in falling order of cost to within 1 / kCostLevels of the largest.
constexpr std::int64_t kCostLevels = 1024;

struct DealScratch {
  std::span<std::int64_t> num_items;     // [num_workers]
  std::span<std::int64_t> heap_loads;    // [num_workers]
  std::span<std::int64_t> heap_workers;  // [num_workers]
  std::span<std::int64_t> levels;        // [kCostLevels + 1]: first place in `order` of a level
  std::span<std::int64_t> smaller;       // [num_smaller]: cost, then worker, of a smaller piece
  std::span<std::int64_t> order;         // [num_smaller]: their indexes in falling order of cost
};

DealScratch divide(std::span<std::int64_t> memory, std::int32_t num_workers,
                   const PieceTotals& totals) {
  const auto workers = static_cast<std::size_t>(num_workers);
  const auto smaller = static_cast<std::size_t>(totals.num_pieces - totals.num_largest);
  const auto take = [&memory](std::size_t count) {
    const auto taken = memory.first(count);
    memory = memory.subspan(count);
    return taken;
  };
  DealScratch scratch;
  scratch.num_items = take(workers);
  scratch.heap_loads = take(workers);
  scratch.heap_workers = take(workers);
  scratch.levels = take(static_cast<std::size_t>(kCostLevels) + 1);
  scratch.smaller = take(smaller);
  scratch.order = take(smaller);
  return scratch;
}

/// A counting sort by level, the highest costs first.
void sort_by_level(std::int64_t largest_cost, const DealScratch& scratch) {
  const double levels_per_cost =
      static_cast<double>(kCostLevels - 1) / static_cast<double>(largest_cost);
  const auto level = [&](std::int64_t cost) {  // 0 for the largest
    return static_cast<std::size_t>(static_cast<double>(largest_cost - cost) * levels_per_cost);
  };
  std::fill(scratch.levels.begin(), scratch.levels.end(), 0);
  for (const std::int64_t cost : scratch.smaller) ++scratch.levels[level(cost) + 1];
  for (std::size_t i = 1; i < scratch.levels.size(); ++i) {
    scratch.levels[i] += scratch.levels[i - 1];
  }
  for (std::size_t i = 0; i < scratch.smaller.size(); ++i) {
    const auto place = static_cast<std::size_t>(scratch.levels[level(scratch.smaller[i])]++);
    scratch.order[place] = static_cast<std::int64_t>(i);
  }
}

}  // namespace

PieceTotals count_pieces(const ScheduleInput& input, const PiecePolicy& policy) {
  PieceTotals totals;
  for_each_run(input, policy, [&totals](std::int64_t count, std::int64_t cost) {
    totals.num_pieces += count;
    if (cost < totals.largest_cost) return;
    if (cost > totals.largest_cost) totals.num_largest = 0;
    totals.largest_cost = cost;
    totals.num_largest += count;
  });
  return totals;
}

std::size_t deal_scratch_size(std::int32_t num_workers, const PieceTotals& totals) {
  return 3 * static_cast<std::size_t>(num_workers) + static_cast<std::size_t>(kCostLevels) + 1 +
         2 * static_cast<std::size_t>(totals.num_pieces - totals.num_largest);
}

Deal deal_pieces(const ScheduleInput& input, const PiecePolicy& policy, const PieceTotals& totals,
                 std::span<std::int64_t> memory) {
  const DealScratch scratch = divide(memory, input.num_workers, totals);
  std::size_t num_smaller = 0;
  for_each_run(input, policy, [&](std::int64_t count, std::int64_t cost) {
    if (cost == totals.largest_cost) return;
    for (std::int64_t i = 0; i < count; ++i) scratch.smaller[num_smaller++] = cost;
  });
  sort_by_level(totals.largest_cost, scratch);

  const EvenRuns runs(totals.num_largest, input.num_workers);
  WorkerHeap heap(scratch.heap_loads, scratch.heap_workers, runs, totals.largest_cost);
  for (std::int64_t i = 0; i < input.num_workers; ++i) {
    scratch.num_items[static_cast<std::size_t>(i)] = runs.of(i);
  }
  for (const std::int64_t piece_idx : scratch.order) {
    std::int64_t& piece = scratch.smaller[static_cast<std::size_t>(piece_idx)];
    piece = heap.add_to_least(piece);
    ++scratch.num_items[static_cast<std::size_t>(piece)];
  }
  return {totals, heap.largest_load(), scratch.num_items, scratch.smaller};
}

void place_dealt(const ScheduleInput& input, const PiecePolicy& policy, const Deal& deal,
                 WorkPlan& plan) {
  plan.items.resize(static_cast<std::size_t>(deal.totals.num_pieces));
  // From here on num_items holds each worker's next free item.
  std::int64_t num_items = 0;
  for (std::size_t i = 0; i < deal.num_items.size(); ++i) {
    num_items += std::exchange(deal.num_items[i], num_items);
    plan.worker_begin[i + 1] = static_cast<std::int32_t>(num_items);
  }
  const EvenRuns even_runs(deal.totals.num_largest, input.num_workers);
  std::int64_t run_worker = 0;
  std::int64_t run_left = even_runs.of(0);
  std::size_t num_smaller = 0;
  const auto next_worker = [&](std::int64_t cost) {
    if (cost < deal.totals.largest_cost) return deal.workers[num_smaller++];
    if (run_left == 0) run_left = even_runs.of(++run_worker);
    --run_left;
    return run_worker;
  };

  TileCutter cutter(policy);
  for_each_tile(input, [&](const WorkItem& tile) {
    const PieceRuns& runs = cutter.cut(tile);
    const KeyCut& cut = runs.cut;
    if (cut.num_pieces > 1) {
      plan.combines.push_back({.request_idx = tile.request_idx,
                               .kv_head_idx = tile.kv_head_idx,
                               .row_begin = tile.row_begin,
                               .row_end = tile.row_end,
                               .slot_begin = plan.num_slots,
                               .num_splits = static_cast<std::int32_t>(cut.num_pieces)});
    }
    WorkItem item = tile;
    for (std::int64_t i = 0; i < cut.num_pieces; ++i) {
      item.kv_end = static_cast<std::int32_t>(cut.end(i));
      if (cut.num_pieces > 1) item.slot_idx = plan.num_slots++;
      const auto worker = static_cast<std::size_t>(next_worker(runs.cost(i)));
      plan.items[static_cast<std::size_t>(deal.num_items[worker]++)] = item;
      item.kv_begin = item.kv_end;
    }
  });
}

Status schedule_fixed_pieces(const ScheduleInput& input, WorkPlan& plan) {
  PiecePolicy policy{.kind = PiecePolicy::Kind::kChunk,
                     .limit = round_up(kInvariantChunk, input.kv_granule),
                     .rule = {.cost = input.cost, .granule = input.kv_granule}};
  if (input.num_splits) {
    policy.kind = PiecePolicy::Kind::kCount;
    policy.limit = *input.num_splits;
  }
  const PieceTotals totals = count_pieces(input, policy);
  constexpr std::int64_t kMostPieces = std::numeric_limits<std::int32_t>::max();
  if (totals.num_pieces > kMostPieces) {
    return {StatusCode::kUnsupported,
            fmt::format("work items: are {}, must be at most {}", totals.num_pieces, kMostPieces)};
  }
  const std::size_t needed = deal_scratch_size(input.num_workers, totals);
  if (plan.planner_scratch.size() < needed) plan.planner_scratch.resize(needed);
  const Deal deal = deal_pieces(input, policy, totals, plan.planner_scratch);
  place_dealt(input, policy, deal, plan);
  return Status::ok();
}

}  // namespace seesaw::scheduling
