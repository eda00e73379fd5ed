// The tiles of a call in the order of the plan: by request, KV head, row.
#pragma once

#include <cstdint>

#include "scheduling/partition.h"
#include "scheduling/scheduler.h"

namespace seesaw::scheduling {

/// A tile with all its keys, before any split.
inline WorkItem whole_tile(std::int64_t request_idx, std::int64_t kv_head_idx,
                           std::int64_t row_begin, std::int64_t row_end, std::int64_t num_keys) {
  return {.request_idx = static_cast<std::int32_t>(request_idx),
          .kv_head_idx = static_cast<std::int32_t>(kv_head_idx),
          .row_begin = static_cast<std::int32_t>(row_begin),
          .row_end = static_cast<std::int32_t>(row_end),
          .kv_begin = 0,
          .kv_end = static_cast<std::int32_t>(num_keys),
          .slot_idx = -1};
}

/// Query tokens of a request.
inline std::int64_t query_length(const ScheduleInput& input, std::int64_t request_idx) {
  return input.problem.phase == Phase::kPrefill
             ? input.q_lengths[static_cast<std::size_t>(request_idx)]
             : input.problem.s_q;
}

/// How the rows of a request are cut. Query tokens of a top-k call see different keys each, so a
/// tile stays within one; those of a dense call share their keys.
inline RowCut row_cut(const ScheduleInput& input, std::int64_t q_len) {
  const std::int64_t group_size = input.problem.group_size();
  const std::int64_t num_rows = q_len * group_size;
  const bool per_token = input.problem.sparsity == Sparsity::kTopK;
  return {num_rows, per_token ? group_size : num_rows, input.rows_per_tile};
}

/// Calls visit(const WorkItem& tile) for every tile of one KV head of a request.
template <typename Visit>
void for_each_tile_of_head(const ScheduleInput& input, std::int64_t request_idx,
                           std::int64_t kv_head_idx, Visit&& visit) {
  const std::int64_t q_len = query_length(input, request_idx);
  const RowCut cut = row_cut(input, q_len);
  const bool sparse = input.problem.sparsity == Sparsity::kTopK;
  const std::int64_t s_k =
      sparse ? input.problem.top_k : input.kv_lengths[static_cast<std::size_t>(request_idx)];
  const bool causal = !sparse && input.problem.mask == Mask::kCausal && q_len > 1;
  const std::int64_t group_size = input.problem.group_size();
  for (std::int64_t begin = 0, end = 0; begin < cut.num_rows; begin = end) {
    end = cut.row_end(begin);
    const std::int64_t keys = causal ? causal_keys(s_k, q_len, (end - 1) / group_size) : s_k;
    visit(whole_tile(request_idx, kv_head_idx, begin, end, keys));
  }
}

/// Calls visit(const WorkItem& tile) for every tile of the call.
template <typename Visit>
void for_each_tile(const ScheduleInput& input, Visit&& visit) {
  for (std::int64_t request_idx = 0; request_idx < input.problem.batch; ++request_idx) {
    for (std::int64_t kv_head_idx = 0; kv_head_idx < input.problem.h_kv; ++kv_head_idx) {
      for_each_tile_of_head(input, request_idx, kv_head_idx, visit);
    }
  }
}

}  // namespace seesaw::scheduling
