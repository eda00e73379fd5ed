#include "scheduling/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "scheduling/deal.h"
#include "scheduling/ranges.h"
#include "scheduling/tiles.h"

namespace seesaw::scheduling {
namespace {

constexpr std::int64_t kMostInt32 = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMostRowsPerTile = 65'536;

Status out_of_range(std::string_view name, std::int64_t actual, std::int64_t least,
                    std::int64_t most) {
  return {StatusCode::kInvalidArgument,
          fmt::format("{}: is {}, must be {} .. {}", name, actual, least, most)};
}

Status check_counts(const ScheduleInput& input) {
  const AttentionProblem& problem = input.problem;
  struct Count {
    std::string_view name;
    std::int64_t actual;
    std::int64_t least;
    std::int64_t most;
  };
  const Count counts[] = {
      {"num_workers", input.num_workers, 1, kMostInt32},
      {"rows_per_tile", input.rows_per_tile, 1, kMostRowsPerTile},
      {"kv_granule", input.kv_granule, 1, kMostInt32},
      {"num_splits", input.num_splits.value_or(1), 1, kMostInt32},
      {"batch", problem.batch, 0, kMostInt32},
      {"s_q", problem.s_q, 0, kMostInt32},
      {"h_q", problem.h_q, 0, kMostInt32},
      {"h_kv", problem.h_kv, 0, kMostInt32},
      {"top_k", problem.top_k, 0, kMostInt32},
  };
  for (const Count& count : counts) {
    if (count.actual < count.least || count.actual > count.most) {
      return out_of_range(count.name, count.actual, count.least, count.most);
    }
  }
  return Status::ok();
}

Status check_lengths(std::string_view name, std::span<const std::int32_t> lengths,
                     std::int64_t batch, std::int64_t most) {
  if (static_cast<std::int64_t>(lengths.size()) != batch) {
    return {StatusCode::kInvalidArgument,
            fmt::format("{}.size: is {}, must be batch = {}", name, lengths.size(), batch)};
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > most) {
      return out_of_range(fmt::format("{}[{}]", name, i), lengths[i], 0, most);
    }
  }
  return Status::ok();
}

Status check(const ScheduleInput& input) {
  const AttentionProblem& problem = input.problem;
  if (Status status = check_counts(input); !status) return status;
  if (problem.sparsity == Sparsity::kDense) {
    Status status = check_lengths("kv_lengths", input.kv_lengths, problem.batch, kMostInt32);
    if (!status) return status;
  }
  if (problem.phase == Phase::kPrefill) {
    return check_lengths("q_lengths", input.q_lengths, problem.batch, problem.s_q);
  }
  return Status::ok();
}

struct CallSize {
  std::int64_t num_tiles = 0;
  std::int64_t most_keys = 0;  // of a tile
};

/// The size of the call, or why its items cannot be numbered.
Result<CallSize> measure(const ScheduleInput& input) {
  const std::int64_t group_size = input.problem.group_size();
  if (input.problem.s_q > 0 && group_size > kMostInt32 / input.problem.s_q) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("s_q * (h_q / h_kv): is {} * {}, must be at most {}",
                              input.problem.s_q, group_size, kMostInt32));
  }
  CallSize size;
  for (std::int64_t i = 0; i < input.problem.batch; ++i) {
    size.num_tiles += input.problem.h_kv * row_cut(input, query_length(input, i)).num_tiles();
    if (size.num_tiles > kMostInt32 - input.num_workers) {
      return Status(StatusCode::kUnsupported,
                    fmt::format("work items: are more than {}, split the call", kMostInt32));
    }
  }
  if (input.problem.sparsity == Sparsity::kTopK) {
    size.most_keys = input.problem.top_k;
  } else if (!input.kv_lengths.empty()) {
    size.most_keys = *std::max_element(input.kv_lengths.begin(), input.kv_lengths.end());
  }
  return size;
}

/// The model in units so coarse that the cost of all tiles stays far within 64 bits. That is
/// picoseconds but for calls that would take days.
CostModel bounded(CostModel cost, std::int64_t rows_per_tile, const CallSize& size) {
  constexpr double kMostTotal = 0x1p60;
  for (std::int64_t* field : {&cost.item_fixed, &cost.item_row, &cost.token, &cost.token_row,
                              &cost.slot_row, &cost.combine_fixed, &cost.combine_split_row}) {
    *field = std::max<std::int64_t>(0, *field);
  }
  cost.row_step = std::max(1, cost.row_step);
  const auto padded_rows = static_cast<double>(rows_per_tile + cost.row_step);
  const auto of_rows = [padded_rows](std::int64_t fixed, std::int64_t per_row) {
    return static_cast<double>(fixed) + static_cast<double>(per_row) * padded_rows;
  };
  const double most_tile =
      static_cast<double>(size.most_keys) * of_rows(cost.token, cost.token_row) +
      of_rows(cost.item_fixed, cost.item_row + cost.slot_row) +
      of_rows(cost.combine_fixed, cost.combine_split_row);
  const double total = most_tile * static_cast<double>(size.num_tiles);
  const int shift = std::min(62, std::max(0, std::ilogb(total / kMostTotal) + 1));
  cost.item_fixed = std::max<std::int64_t>(1, cost.item_fixed >> shift);
  cost.token = std::max<std::int64_t>(1, cost.token >> shift);
  for (std::int64_t* field : {&cost.item_row, &cost.token_row, &cost.slot_row, &cost.combine_fixed,
                              &cost.combine_split_row}) {
    *field >>= shift;
  }
  return cost;
}

void clear(WorkPlan& plan) {
  plan.items.clear();
  plan.worker_begin.clear();
  plan.combines.clear();
  plan.num_slots = 0;
}

Status schedule_checked(const ScheduleInput& checked, WorkPlan& plan) {
  Result<CallSize> size = measure(checked);
  if (!size) return size.status();
  ScheduleInput input = checked;
  // A slot has room for a tile's rows, so no more of them than a request can have.
  const RowCut longest = row_cut(input, input.problem.s_q);
  input.rows_per_tile =
      static_cast<std::int32_t>(std::clamp<std::int64_t>(longest.span, 1, input.rows_per_tile));
  plan.rows_per_tile = input.rows_per_tile;
  input.cost = bounded(input.cost, input.rows_per_tile, size.value());
  plan.combines.clear();
  plan.num_slots = 0;
  plan.worker_begin.assign(static_cast<std::size_t>(input.num_workers) + 1, 0);
  if (size.value().num_tiles == 0) {
    plan.items.clear();
    return Status::ok();
  }
  if (input.num_splits || input.mode == ScheduleMode::kBatchInvariant) {
    return schedule_fixed_pieces(input, plan);
  }
  schedule_ranges(input, size.value().num_tiles, plan);
  return Status::ok();
}

}  // namespace

Status schedule(const ScheduleInput& input, WorkPlan& plan) {
  Status status = check(input);
  if (status) {
    plan.problem = input.problem;
    plan.mode = input.mode;
    plan.kv_granule = input.kv_granule;
    try {
      status = schedule_checked(input, plan);
    } catch (...) {  // out of memory
      clear(plan);
      throw;
    }
  }
  if (!status) clear(plan);
  return status;
}

}  // namespace seesaw::scheduling
