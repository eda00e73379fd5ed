#include "model/step.h"

#include <algorithm>

namespace seesaw::model {
namespace {

std::int64_t pages_needed(std::int64_t tokens, std::int64_t page_size) {
  return (tokens + page_size - 1) / page_size;
}

std::int64_t end_of(const StepPiece& piece) {
  return piece.start + static_cast<std::int64_t>(piece.ids.size());
}

void add_piece(const StepPiece& piece, std::int64_t page_size, Step& step) {
  for (std::int64_t position = piece.start; position < end_of(piece); ++position) {
    const std::int64_t page = piece.pages[static_cast<std::size_t>(position / page_size)];
    step.ids.push_back(piece.ids[static_cast<std::size_t>(position - piece.start)]);
    step.positions.push_back(position);
    step.slots.push_back(page * page_size + position % page_size);
  }
  step.q_lengths.push_back(static_cast<std::int32_t>(piece.ids.size()));
  step.kv_lengths.push_back(static_cast<std::int32_t>(end_of(piece)));
}

}  // namespace

void build_step(Phase phase, std::span<const StepPiece> pieces, std::int64_t page_size,
                Step& step) {
  step.phase = phase;
  for (auto* list : {&step.positions, &step.slots}) list->clear();
  for (auto* list : {&step.ids, &step.q_lengths, &step.kv_lengths}) list->clear();
  step.max_pages = 0;
  for (const StepPiece& piece : pieces) {
    add_piece(piece, page_size, step);
    step.max_pages = std::max(step.max_pages, pages_needed(end_of(piece), page_size));
  }
  step.block_table.assign(pieces.size() * static_cast<std::size_t>(step.max_pages), -1);
  auto row = step.block_table.begin();
  for (const StepPiece& piece : pieces) {
    std::copy_n(piece.pages.begin(), pages_needed(end_of(piece), page_size), row);
    row += step.max_pages;
  }
}

}  // namespace seesaw::model
