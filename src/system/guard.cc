#include "system/guard.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace seesaw {
namespace {

std::int32_t int32_at(const ConstTensorView& view, std::int64_t offset) {
  return static_cast<const std::int32_t*>(view.data)[offset];
}

std::int64_t query_tokens_of(const WorkPlan& plan, std::int64_t request_idx) {
  return plan.problem.phase == Phase::kDecode
             ? plan.problem.s_q
             : plan.q_lengths[static_cast<std::size_t>(request_idx)];
}

Status verify_block_table(const WorkPlan& plan, const CacheArgs& cache) {
  const std::int64_t num_pages = cache.kv_cache.dim(0);
  const std::int64_t page_size = plan.problem.page_size;
  const ConstTensorView& table = cache.block_table;
  for (std::int64_t request_idx = 0; request_idx < plan.problem.batch; ++request_idx) {
    if (query_tokens_of(plan, request_idx) == 0) continue;
    const std::int64_t kv_length = plan.kv_lengths[static_cast<std::size_t>(request_idx)];
    for (std::int64_t i = 0; i * page_size < kv_length; ++i) {
      const std::int32_t page = int32_at(table, request_idx * table.step(0) + i * table.step(1));
      if (page < 0 || page >= num_pages) {
        return {
            StatusCode::kCorruptData,
            fmt::format("block_table[{}, {}]: is {}, must be in [0, num_pages = {}): request {} "
                        "has {} tokens in pages of {}",
                        request_idx, i, page, num_pages, request_idx, kv_length, page_size)};
      }
    }
  }
  return Status::ok();
}

struct QueryToken {
  std::int64_t request_idx = 0;
  std::int64_t token_idx = 0;   // within the request
  std::int64_t packed_idx = 0;  // within the call
};

std::string coordinates(Phase phase, const QueryToken& token, std::int64_t column) {
  return phase == Phase::kDecode
             ? fmt::format("indices[{}, {}, {}]", token.request_idx, token.token_idx, column)
             : fmt::format("indices[{}, {}]", token.packed_idx, column);
}

Status verify_index_row(const WorkPlan& plan, const CacheArgs& cache, const QueryToken& token,
                        std::int64_t num_columns) {
  const ConstTensorView& indices = cache.indices;
  const Phase phase = plan.problem.phase;
  const std::int64_t num_slots = cache.kv_cache.dim(0) * plan.problem.page_size;
  const std::int64_t row = phase == Phase::kDecode ? token.request_idx * indices.step(0) +
                                                         token.token_idx * indices.step(1)
                                                   : token.packed_idx * indices.step(0);
  for (std::int64_t column = 0; column < num_columns; ++column) {
    const std::int32_t index = int32_at(indices, row + column * indices.step(indices.rank - 1));
    if (index < -1 || index >= num_slots) {
      return {StatusCode::kCorruptData,
              fmt::format("{}: is {}, must be -1 or in [0, num_pages * page_size = {})",
                          coordinates(phase, token, column), index, num_slots)};
    }
  }
  return Status::ok();
}

Status verify_indices(const WorkPlan& plan, const CacheArgs& cache) {
  const AttentionProblem& problem = plan.problem;
  const ConstTensorView& lengths = cache.top_k_lengths;
  QueryToken token;
  for (; token.request_idx < problem.batch; ++token.request_idx) {
    std::int64_t num_columns = problem.top_k;
    const std::int64_t num_tokens = query_tokens_of(plan, token.request_idx);
    if (num_tokens > 0 && !lengths.is_empty_argument()) {
      num_columns = int32_at(lengths, token.request_idx * lengths.step(0));
      if (num_columns < 0 || num_columns > problem.top_k) {
        return {StatusCode::kCorruptData,
                fmt::format("top_k_lengths[{}]: is {}, must be in [0, top_k = {}]",
                            token.request_idx, num_columns, problem.top_k)};
      }
    }
    for (token.token_idx = 0; token.token_idx < num_tokens; ++token.token_idx) {
      Status status = verify_index_row(plan, cache, token, num_columns);
      if (!status.is_ok()) return status;
      ++token.packed_idx;
    }
  }
  return Status::ok();
}

}  // namespace

Status verify_data(const WorkPlan& plan, const CacheArgs& cache) {
  return plan.problem.sparsity == Sparsity::kDense ? verify_block_table(plan, cache)
                                                   : verify_indices(plan, cache);
}

}  // namespace seesaw
