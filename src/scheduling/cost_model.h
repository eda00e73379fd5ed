// What a piece of work costs, as the scheduler counts it. Integers only, so that every compiler and
// a device come to the same plan.
#pragma once

#include <cstdint>

#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"

namespace seesaw::scheduling {

/// Costs of one problem on one worker, in picoseconds. Rows are rounded up to row_step first: a
/// vector's idle lanes cost as much as its busy ones.
struct CostModel {
  std::int64_t item_fixed = 0;         // an item, before its first token
  std::int64_t item_row = 0;           // and for each of its rows (query packed, output written)
  std::int64_t token = 0;              // a token of keys, whatever the rows (the latent is read)
  std::int64_t token_row = 0;          // a token against a row (both products and the softmax)
  std::int64_t slot_row = 0;           // writing a row of a partial result
  std::int64_t combine_fixed = 0;      // merging one tile, before its first row
  std::int64_t combine_split_row = 0;  // and for each split of each row
  std::int32_t row_step = 1;

  constexpr std::int64_t padded_rows(std::int64_t rows) const noexcept {
    return (rows + row_step - 1) / row_step * row_step;
  }
  /// A token of keys against a tile of `rows` rows.
  constexpr std::int64_t token_cost(std::int64_t rows) const noexcept {
    return token + token_row * padded_rows(rows);
  }
  /// An item apart from its tokens.
  constexpr std::int64_t fixed_cost(std::int64_t rows) const noexcept {
    return item_fixed + item_row * padded_rows(rows);
  }
  /// What an item pays on top where its tile is split: its partial result is written.
  constexpr std::int64_t slot_cost(std::int64_t rows) const noexcept {
    return slot_row * padded_rows(rows);
  }
  /// An item of an unsplit tile.
  constexpr std::int64_t item_cost(std::int64_t rows, std::int64_t tokens) const noexcept {
    return fixed_cost(rows) + tokens * token_cost(rows);
  }
  /// Merging the partial results of a tile.
  constexpr std::int64_t combine_cost(std::int64_t rows, std::int64_t num_splits) const noexcept {
    return combine_fixed + combine_split_row * padded_rows(rows) * num_splits;
  }
  /// The work that one more split of a tile adds, wherever it is done.
  constexpr std::int64_t split_overhead(std::int64_t rows) const noexcept {
    return fixed_cost(rows) + slot_cost(rows) + combine_split_row * padded_rows(rows);
  }
};

/// The model for `problem` on one worker: the measured constants of the kernels of that kind and
/// instruction set (the table in cost_model.cc), scaled to the problem's d_qk and d_v.
CostModel cost_model(const AttentionProblem& problem, DeviceKind kind, CpuIsa isa);

}  // namespace seesaw::scheduling
