#include "scheduling/schedule_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace seesaw::scheduling::testing {
namespace {

TileKey key_of(const WorkItem& item) {
  return {item.request_idx, item.kv_head_idx, item.row_begin, item.row_end};
}

std::int64_t q_length(const ScheduleInput& input, std::size_t request_idx) {
  return input.problem.phase == Phase::kPrefill ? input.q_lengths[request_idx] : input.problem.s_q;
}

/// Keys that a row may see, straight from the definition of the masks.
std::int64_t visible_keys(const ScheduleInput& input, std::size_t request_idx, std::int64_t row) {
  if (input.problem.sparsity == Sparsity::kTopK) return input.problem.top_k;
  const std::int64_t s_k = input.kv_lengths[request_idx];
  if (input.problem.mask == Mask::kNone) return s_k;
  const std::int64_t query = row / (input.problem.h_q / input.problem.h_kv);
  std::int64_t visible = 0;
  // Query i sees key j <= s_k - s_q + i; counting keys one by one would take too long.
  const std::int64_t last = s_k - q_length(input, request_idx) + query;
  if (last >= 0) visible = std::min(s_k, last + 1);
  return visible;
}

std::string describe(const WorkItem& item) {
  return fmt::format("request {} kv_head {} rows {}..{} keys {}..{} slot {}", item.request_idx,
                     item.kv_head_idx, item.row_begin, item.row_end, item.kv_begin, item.kv_end,
                     item.slot_idx);
}

std::string check_workers(const WorkPlan& plan, int num_workers) {
  const auto& begin = plan.worker_begin;
  if (static_cast<int>(begin.size()) != num_workers + 1) return "worker_begin: wrong size";
  if (begin.front() != 0 || begin.back() != static_cast<std::int32_t>(plan.items.size())) {
    return "worker_begin: does not span the items";
  }
  if (!std::is_sorted(begin.begin(), begin.end())) return "worker_begin: falls";
  return {};
}

std::string check_tile_rows(const ScheduleInput& input,
                            const std::map<TileKey, PlannedTile>& tiles) {
  const std::int64_t group_size = input.problem.group_size();
  auto tile = tiles.begin();
  for (std::int64_t request = 0; request < input.problem.batch; ++request) {
    const std::int64_t rows = q_length(input, static_cast<std::size_t>(request)) * group_size;
    for (std::int64_t head = 0; head < input.problem.h_kv; ++head) {
      for (std::int64_t row = 0; row < rows; ++tile) {
        if (tile == tiles.end()) return "rows are missing at the end";
        const auto [t_request, t_head, t_begin, t_end] = tile->first;
        if (t_request != request || t_head != head || t_begin != row || t_end <= row ||
            t_end > rows || t_end - t_begin > input.rows_per_tile) {
          return fmt::format("expected a tile from row {} of request {} head {}, found {}", row,
                             request, head, describe(tile->second.pieces.front()));
        }
        if (input.problem.sparsity == Sparsity::kTopK &&
            t_begin / group_size != (t_end - 1) / group_size) {
          return fmt::format("{} spans query tokens", describe(tile->second.pieces.front()));
        }
        row = t_end;
      }
    }
  }
  return tile == tiles.end() ? "" : "there are more tiles than rows";
}

std::string check_tile_keys(const ScheduleInput& input, const PlannedTile& tile) {
  const WorkItem& first = tile.pieces.front();
  std::int64_t visible = 0;
  for (std::int64_t row = first.row_begin; row < first.row_end; ++row) {
    visible =
        std::max(visible, visible_keys(input, static_cast<std::size_t>(first.request_idx), row));
  }
  std::int64_t next = 0;
  for (const WorkItem& piece : tile.pieces) {
    if (piece.kv_begin != next) return fmt::format("{}: expected key {}", describe(piece), next);
    if (piece.kv_begin % input.kv_granule != 0) {
      return fmt::format("{}: does not begin at a granule", describe(piece));
    }
    if (piece.kv_end <= piece.kv_begin && tile.pieces.size() > 1) {
      return fmt::format("{}: an empty split", describe(piece));
    }
    next = piece.kv_end;
  }
  if (next != visible) return fmt::format("{}: expected end {}", describe(first), visible);
  return {};
}

std::string check_slots(const WorkPlan& plan, const std::map<TileKey, PlannedTile>& tiles) {
  std::vector<int> uses(static_cast<std::size_t>(plan.num_slots), 0);
  std::map<TileKey, const CombineItem*> combines;
  for (const CombineItem& combine : plan.combines) {
    const TileKey key{combine.request_idx, combine.kv_head_idx, combine.row_begin, combine.row_end};
    if (!combines.emplace(key, &combine).second) return "a tile is combined twice";
  }
  for (const auto& [key, tile] : tiles) {
    const auto combine = combines.find(key);
    if (tile.pieces.size() == 1) {
      if (tile.pieces[0].slot_idx != -1) return describe(tile.pieces[0]) + ": unsplit, has a slot";
      if (combine != combines.end()) return describe(tile.pieces[0]) + ": unsplit, is combined";
      continue;
    }
    if (combine == combines.end()) return describe(tile.pieces[0]) + ": is not combined";
    if (combine->second->num_splits != static_cast<std::int32_t>(tile.pieces.size())) {
      return describe(tile.pieces[0]) + ": num_splits differs";
    }
    for (std::size_t i = 0; i < tile.pieces.size(); ++i) {
      const std::int32_t slot = combine->second->slot_begin + static_cast<std::int32_t>(i);
      if (tile.pieces[i].slot_idx != slot || slot < 0 || slot >= plan.num_slots) {
        return describe(tile.pieces[i]) + fmt::format(": expected slot {}", slot);
      }
      ++uses[static_cast<std::size_t>(slot)];
    }
    combines.erase(combine);
  }
  if (!combines.empty()) return "a tile is combined that does not exist";
  if (std::any_of(uses.begin(), uses.end(), [](int n) { return n != 1; })) {
    return "a slot is not used exactly once";
  }
  return {};
}

/// Piece sizes of `n` even pieces of granules, longer ones last; empty if one were below min_keys.
std::vector<std::int64_t> even_sizes(std::int64_t keys, std::int64_t granule, std::int64_t n,
                                     std::int64_t min_keys) {
  std::vector<std::int64_t> sizes;
  const std::int64_t granules = (keys + granule - 1) / granule;
  if (n > granules) return sizes;
  sizes.assign(static_cast<std::size_t>(n), granules / n * granule);
  for (std::int64_t i = n - granules % n; i < n; ++i) sizes[static_cast<std::size_t>(i)] += granule;
  sizes.back() -= granules * granule - keys;
  if (*std::min_element(sizes.begin(), sizes.end()) < min_keys) sizes.clear();
  return sizes;
}

std::vector<std::int64_t> finest_sizes(std::int64_t keys, std::int64_t granule,
                                       std::int64_t min_keys) {
  // All pieces but the last are whole granules.
  const std::int64_t least_whole = (min_keys + granule - 1) / granule * granule;
  const std::int64_t most = keys / least_whole + 1;
  for (std::int64_t n = most; n > 1; --n) {
    std::vector<std::int64_t> sizes = even_sizes(keys, granule, n, min_keys);
    if (!sizes.empty()) return sizes;
  }
  return {keys};
}

}  // namespace

std::map<TileKey, PlannedTile> planned_tiles(const WorkPlan& plan) {
  std::map<TileKey, PlannedTile> tiles;
  for (int worker = 0; worker < plan.num_workers(); ++worker) {
    const auto w = static_cast<std::size_t>(worker);
    for (std::int32_t i = plan.worker_begin[w]; i < plan.worker_begin[w + 1]; ++i) {
      const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
      PlannedTile& tile = tiles[key_of(item)];
      const auto place = std::upper_bound(
          tile.pieces.begin(), tile.pieces.end(), item,
          [](const WorkItem& a, const WorkItem& b) { return a.kv_begin < b.kv_begin; });
      tile.workers.insert(tile.workers.begin() + (place - tile.pieces.begin()), worker);
      tile.pieces.insert(place, item);
    }
  }
  return tiles;
}

std::string find_flaw(const ScheduleInput& input, const WorkPlan& plan) {
  if (std::string flaw = check_workers(plan, input.num_workers); !flaw.empty()) return flaw;
  const auto tiles = planned_tiles(plan);
  if (std::string flaw = check_tile_rows(input, tiles); !flaw.empty()) return flaw;
  for (const auto& [key, tile] : tiles) {
    if (std::string flaw = check_tile_keys(input, tile); !flaw.empty()) return flaw;
  }
  return check_slots(plan, tiles);
}

std::vector<std::int64_t> worker_loads(const ScheduleInput& input, const WorkPlan& plan) {
  std::vector<std::int64_t> loads;
  for (int worker = 0; worker < plan.num_workers(); ++worker) {
    const auto w = static_cast<std::size_t>(worker);
    std::int64_t load = 0;
    for (std::int32_t i = plan.worker_begin[w]; i < plan.worker_begin[w + 1]; ++i) {
      const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
      const std::int64_t rows = item.row_end - item.row_begin;
      load += input.cost.item_cost(rows, item.kv_end - item.kv_begin);
      if (item.slot_idx >= 0) load += input.cost.slot_cost(rows);
    }
    loads.push_back(load);
  }
  return loads;
}

std::int64_t min_block_keys(const ScheduleInput& input, std::int64_t mean_load, std::int64_t rows) {
  const CostModel& cost = input.cost;
  const std::int64_t padded = (rows + cost.row_step - 1) / cost.row_step * cost.row_step;
  const std::int64_t write_and_merge = (cost.slot_row + cost.combine_split_row) * padded;
  const std::int64_t start = cost.item_fixed + cost.item_row * padded;
  const std::int64_t worth =
      input.mode == ScheduleMode::kLatency ? write_and_merge : 2 * (write_and_merge + start);
  const std::int64_t work = std::max(worth, mean_load / 128);
  const std::int64_t token = cost.token + cost.token_row * padded;
  return std::max<std::int64_t>(1, (work + token - 1) / token);
}

WorkBounds work_bounds(const ScheduleInput& input, const WorkPlan& plan) {
  const CostModel& cost = input.cost;
  const auto tiles = planned_tiles(plan);
  WorkBounds bounds;
  std::int64_t total = 0;
  for (const auto& [key, tile] : tiles) {
    total += cost.item_cost(std::get<3>(key) - std::get<2>(key), tile.pieces.back().kv_end);
  }
  bounds.mean_load = (total + input.num_workers - 1) / input.num_workers;

  std::int64_t largest_piece = 0;  // of the finest cut
  std::int64_t largest_gap = 0;    // between neighbouring cuts
  for (const auto& [key, tile] : tiles) {
    const std::int64_t rows = std::get<3>(key) - std::get<2>(key);
    const std::int64_t keys = tile.pieces.back().kv_end;
    const std::int64_t min_keys = min_block_keys(input, bounds.mean_load, rows);
    const auto sizes = finest_sizes(keys, input.kv_granule, min_keys);
    bounds.most_pieces += static_cast<std::int64_t>(sizes.size());
    const auto cost_of = [&](std::int64_t block_keys) {
      return cost.item_cost(rows, block_keys) + (sizes.size() > 1 ? cost.slot_cost(rows) : 0);
    };
    largest_piece = std::max(largest_piece, cost_of(*std::max_element(sizes.begin(), sizes.end())));
    std::int64_t gap = keys;
    if (sizes.size() > 1) {
      std::int64_t first = input.kv_granule;
      while (first < min_keys) first += input.kv_granule;
      const std::int64_t last = (keys - min_keys) / input.kv_granule * input.kv_granule;
      gap = std::max(first, keys - last);
    }
    largest_gap = std::max(largest_gap, cost_of(gap));
  }
  bounds.largest_block = bounds.most_pieces <= input.num_workers ? largest_piece : largest_gap;
  return bounds;
}

std::vector<Block> list_blocks(const ScheduleInput& input, const WorkPlan& plan,
                               std::int64_t mean_load) {
  std::vector<Block> blocks;
  std::int64_t tile_idx = 0;
  for (const auto& [key, tile] : planned_tiles(plan)) {
    const std::int64_t rows = std::get<3>(key) - std::get<2>(key);
    const std::int64_t keys = tile.pieces.back().kv_end;
    const std::int64_t min_keys = min_block_keys(input, mean_load, rows);
    const std::size_t first_block = blocks.size();
    std::int64_t begin = 0;
    for (std::int64_t cut = input.kv_granule; cut < keys; cut += input.kv_granule) {
      if (cut < min_keys || keys - cut < min_keys) continue;
      blocks.push_back({tile_idx, rows, cut - begin, false});
      begin = cut;
    }
    blocks.push_back({tile_idx, rows, keys - begin, blocks.size() == first_block});
    ++tile_idx;
  }
  return blocks;
}

std::int64_t movable_blocks(const ScheduleInput& input, const WorkPlan& plan,
                            std::int64_t mean_load, int worker) {
  const auto w = static_cast<std::size_t>(worker);
  std::int64_t sum = 0;
  for (std::int32_t i = plan.worker_begin[w]; i < plan.worker_begin[w + 1]; ++i) {
    const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
    const std::int64_t min_keys = min_block_keys(input, mean_load, item.row_end - item.row_begin);
    sum += static_cast<std::int64_t>(
        finest_sizes(item.kv_end - item.kv_begin, input.kv_granule, min_keys).size());
  }
  return sum;
}

std::int64_t best_contiguous_makespan(const ScheduleInput& input,
                                      const std::vector<Block>& blocks) {
  const std::size_t n = blocks.size();
  constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  // Cost of the range of blocks [first, end).
  const auto range_cost = [&](std::size_t first, std::size_t end) {
    std::int64_t sum = 0;
    for (std::size_t i = first; i < end;) {
      std::size_t tile_end = i;
      std::int64_t keys = 0;
      for (; tile_end < end && blocks[tile_end].tile_idx == blocks[i].tile_idx; ++tile_end) {
        keys += blocks[tile_end].keys;
      }
      const bool split = (i > 0 && blocks[i - 1].tile_idx == blocks[i].tile_idx) ||
                         (tile_end < n && blocks[tile_end].tile_idx == blocks[i].tile_idx);
      sum += input.cost.item_cost(blocks[i].rows, keys) +
             (split ? input.cost.slot_cost(blocks[i].rows) : 0);
      i = tile_end;
    }
    return sum;
  };
  std::vector<std::int64_t> best(n + 1, kNever);  // for the first i blocks
  best[0] = 0;
  for (std::int64_t worker = 0; worker < input.num_workers; ++worker) {
    std::vector<std::int64_t> next = best;
    for (std::size_t end = 1; end <= n; ++end) {
      for (std::size_t first = 0; first < end; ++first) {
        if (best[first] == kNever) continue;
        next[end] = std::min(next[end], std::max(best[first], range_cost(first, end)));
      }
    }
    best = std::move(next);
  }
  return best[n];
}

std::int64_t best_makespan(std::vector<std::int64_t> costs, std::int64_t num_workers) {
  std::sort(costs.rbegin(), costs.rend());
  std::vector<std::int64_t> loads(static_cast<std::size_t>(num_workers), 0);
  std::int64_t best = std::accumulate(costs.begin(), costs.end(), std::int64_t{0});
  const auto place = [&](auto&& self, std::size_t i) -> void {
    if (i == costs.size()) {
      best = std::min(best, *std::max_element(loads.begin(), loads.end()));
      return;
    }
    for (std::size_t w = 0; w < loads.size(); ++w) {
      // Workers of equal load are alike.
      if (std::find(loads.begin(), loads.begin() + static_cast<std::ptrdiff_t>(w), loads[w]) !=
          loads.begin() + static_cast<std::ptrdiff_t>(w)) {
        continue;
      }
      if (loads[w] + costs[i] >= best) continue;
      loads[w] += costs[i];
      self(self, i + 1);
      loads[w] -= costs[i];
    }
  };
  place(place, 0);
  return best;
}

}  // namespace seesaw::scheduling::testing
