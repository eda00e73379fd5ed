// The tokens that go through the model together, once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "seesaw/page_allocator.h"
#include "seesaw/types/attention_problem.h"

namespace seesaw::model {

/// Tokens of one or more sequences, one sequence after the other, with their places in the cache.
struct Step {
  Phase phase = Phase::kPrefill;
  std::vector<std::int32_t> ids;          // [tokens]
  std::vector<std::int64_t> positions;    // [tokens]: index within the sequence
  std::vector<std::int64_t> slots;        // [tokens]: page * page_size + offset
  std::vector<std::int32_t> q_lengths;    // [b]: tokens in this step
  std::vector<std::int32_t> kv_lengths;   // [b]: tokens in the cache once this step's are written
  std::vector<std::int32_t> block_table;  // [b, max_pages], unused entries -1
  std::int64_t max_pages = 0;

  std::int64_t num_tokens() const noexcept { return static_cast<std::int64_t>(ids.size()); }
  std::int64_t batch() const noexcept { return static_cast<std::int64_t>(q_lengths.size()); }
};

/// A piece of a sequence whose pages are allocated.
struct StepPiece {
  std::span<const std::int32_t> ids;
  std::int64_t start = 0;               // position of ids[0]
  std::span<const std::int32_t> pages;  // of the whole sequence
};

/// Lays the pieces out as one step, reusing its memory.
void build_step(Phase phase, std::span<const StepPiece> pieces, std::int64_t page_size, Step& step);

}  // namespace seesaw::model
