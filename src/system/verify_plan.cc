#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "system/guard.h"

namespace seesaw {
namespace {

Status refuse(std::string field, std::int64_t actual, std::string expected) {
  return {StatusCode::kInvalidArgument,
          fmt::format("plan.{}: is {}, must be {}: was the plan changed by hand?", field, actual,
                      expected)};
}

/// `actual` in [least, most], or a message about `field` of entry `idx` of `list`.
Status check(const char* list, std::size_t idx, const char* field, std::int64_t actual,
             std::int64_t least, std::int64_t most) {
  if (actual >= least && actual <= most) return Status::ok();
  return refuse(fmt::format("{}[{}].{}", list, idx, field), actual,
                fmt::format("in [{}, {}]", least, most));
}

std::int64_t rows_of(const WorkPlan& plan, std::int32_t request_idx) {
  const std::int64_t num_tokens = plan.problem.phase == Phase::kDecode
                                      ? plan.problem.s_q
                                      : plan.q_lengths[static_cast<std::size_t>(request_idx)];
  return num_tokens * plan.problem.group_size();
}

/// What items and combines have in common: a tile of the problem.
template <typename Tile>
Status check_tile(const WorkPlan& plan, const char* list, std::size_t idx, const Tile& tile) {
  Status status = check(list, idx, "request_idx", tile.request_idx, 0, plan.problem.batch - 1);
  if (status) status = check(list, idx, "kv_head_idx", tile.kv_head_idx, 0, plan.problem.h_kv - 1);
  if (!status) return status;
  const std::int64_t num_rows = rows_of(plan, tile.request_idx);
  status = check(list, idx, "row_begin", tile.row_begin, 0, num_rows);
  if (!status) return status;
  const std::int64_t most = std::min(num_rows, std::int64_t{tile.row_begin} + plan.rows_per_tile);
  return check(list, idx, "row_end", tile.row_end, tile.row_begin, most);
}

Status check_item(const WorkPlan& plan, std::size_t idx) {
  const WorkItem& item = plan.items[idx];
  Status status = check_tile(plan, "items", idx, item);
  if (!status) return status;
  const std::int64_t num_keys = plan.problem.sparsity == Sparsity::kTopK
                                    ? plan.problem.top_k
                                    : plan.kv_lengths[static_cast<std::size_t>(item.request_idx)];
  status = check("items", idx, "kv_begin", item.kv_begin, 0, num_keys);
  if (status) status = check("items", idx, "kv_end", item.kv_end, item.kv_begin, num_keys);
  if (status) status = check("items", idx, "slot_idx", item.slot_idx, -1, plan.num_slots - 1);
  return status;
}

/// Rows that are written to the output, by items or by combines, must be all rows.
Status check_coverage(const WorkPlan& plan) {
  std::int64_t num_written = 0;
  for (const WorkItem& item : plan.items) {
    if (item.slot_idx < 0) num_written += item.row_end - item.row_begin;
  }
  for (const CombineItem& item : plan.combines) num_written += item.row_end - item.row_begin;
  std::int64_t num_rows = 0;
  for (std::int64_t i = 0; i < plan.problem.batch; ++i) {
    num_rows += rows_of(plan, static_cast<std::int32_t>(i)) * plan.problem.h_kv;
  }
  if (num_written == num_rows) return Status::ok();
  return refuse("items", num_written,
                fmt::format("items and combines that write {} rows", num_rows));
}

Status check_workers(const WorkPlan& plan) {
  const std::vector<std::int32_t>& begin = plan.worker_begin;
  if (begin.empty() || begin.front() != 0) {
    return refuse("worker_begin", begin.empty() ? -1 : begin.front(), "a list that starts with 0");
  }
  for (std::size_t i = 1; i < begin.size(); ++i) {
    if (begin[i] < begin[i - 1]) {
      return refuse(fmt::format("worker_begin[{}]", i), begin[i],
                    fmt::format(">= worker_begin[{}] = {}", i - 1, begin[i - 1]));
    }
  }
  const auto num_items = static_cast<std::int64_t>(plan.items.size());
  if (begin.back() == num_items) return Status::ok();
  return refuse("worker_begin.back()", begin.back(), fmt::format("items.size() = {}", num_items));
}

Status check_workspace(const WorkPlan& plan) {
  const std::int64_t slot_numbers = std::int64_t{plan.rows_per_tile} * (plan.problem.d_v + 2);
  if (plan.num_slots > 0 &&
      plan.slot_stride / sizeof(float) < static_cast<std::size_t>(slot_numbers)) {
    return refuse("slot_stride", static_cast<std::int64_t>(plan.slot_stride),
                  fmt::format(">= {} float32", slot_numbers));
  }
  Status status =
      verify_region(plan, "slots_offset", plan.slots_offset, plan.slot_stride, plan.num_slots);
  if (status) {
    status = verify_region(plan, "q_starts_offset", plan.q_starts_offset, sizeof(std::int64_t),
                           static_cast<std::int64_t>(plan.q_lengths.size()));
  }
  if (status) {
    status = verify_region(plan, "scratch_offset", plan.scratch_offset, plan.scratch_stride,
                           plan.num_workers());
  }
  return status;
}

}  // namespace

Status verify_region(const WorkPlan& plan, const char* name, std::size_t offset, std::size_t stride,
                     std::int64_t count) {
  const std::size_t most = plan.workspace_bytes;
  const auto pieces = static_cast<std::size_t>(count);
  const bool fits =
      offset % 64 == 0 && offset <= most && (pieces == 0 || stride <= (most - offset) / pieces);
  if (fits) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("plan.{}: is {}, must be a multiple of 64 with room for {} times {} bytes "
                      "in workspace_bytes = {}: was the plan changed by hand?",
                      name, offset, count, stride, most)};
}

Status verify_plan(const WorkPlan& plan) {
  if (plan.device.kind == DeviceKind::kCuda) return verify_groups(plan);
  Status status = check_workers(plan);
  if (status) status = check_workspace(plan);
  for (std::size_t i = 0; status && i < plan.items.size(); ++i) status = check_item(plan, i);
  for (std::size_t i = 0; status && i < plan.combines.size(); ++i) {
    const CombineItem& item = plan.combines[i];
    status = check_tile(plan, "combines", i, item);
    if (status) status = check("combines", i, "num_splits", item.num_splits, 1, plan.num_slots);
    if (status) {
      status = check("combines", i, "slot_begin", item.slot_begin, 0,
                     std::int64_t{plan.num_slots} - item.num_splits);
    }
  }
  return status ? check_coverage(plan) : status;
}

}  // namespace seesaw
