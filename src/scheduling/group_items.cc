#include <algorithm>

#include "scheduling/group_cuts.h"

namespace seesaw::scheduling {
namespace {

/// The pieces of a plan, one by one.
class PieceList {
 public:
  PieceList(const GroupPlan& groups, std::span<const std::int32_t> kv_lengths)
      : groups_(groups), kv_lengths_(kv_lengths) {}

  /// Calls visit(piece, sequence, s_k) for the pieces of a range in their order.
  template <typename Visit>
  void for_each_in_range(std::int32_t range_idx, Visit&& visit) const {
    const GroupShape& shape = groups_.shape;
    const Cut begin = groups_.cuts[static_cast<std::size_t>(range_idx)];
    const Cut end = groups_.cuts[static_cast<std::size_t>(range_idx) + 1];
    if (begin == end) return;
    const std::int32_t last = end.block_idx > 0 ? end.sequence_idx : end.sequence_idx - 1;
    for (std::int32_t i = begin.sequence_idx; i <= last; ++i) {
      const Sequence sequence = sequence_at(shape, i);
      const std::int32_t s_k = kv_lengths_[static_cast<std::size_t>(sequence.request_idx)];
      visit(piece_in_range(shape, range_idx, begin, end, i, sequence_keys(shape, sequence, s_k)),
            sequence, s_k);
    }
  }

 private:
  const GroupPlan& groups_;
  std::span<const std::int32_t> kv_lengths_;
};

/// The slots of the sequence whose first piece is in range range_idx: how many there are.
std::int32_t count_pieces_from(const GroupPlan& groups, std::int32_t range_idx) {
  const Cut* cuts = groups.cuts.data();
  const std::int32_t sequence_idx = cuts[range_idx + 1].sequence_idx;
  std::int32_t num_pieces = 1;
  for (std::int32_t i = range_idx + 1; i < groups.shape.num_ranges; ++i) {
    if (cuts[i] == cuts[i + 1]) continue;
    ++num_pieces;
    if (cuts[i + 1].sequence_idx != sequence_idx) break;
  }
  return num_pieces;
}

void list_combines(const GroupPlan& groups, WorkPlan& plan) {
  const GroupShape& shape = groups.shape;
  for (std::int32_t i = 0; i < shape.num_ranges; ++i) {
    const Cut end = groups.cuts[static_cast<std::size_t>(i) + 1];
    if (!begins_split_sequence(groups.cuts[static_cast<std::size_t>(i)], end)) continue;
    const Sequence sequence = sequence_at(shape, end.sequence_idx);
    const std::int32_t num_pieces = count_pieces_from(groups, i);
    const std::int32_t slot_idx = i * shape.slots_per_range + shape.slots_per_range - 1;
    for (std::int32_t rank = 0; rank < shape.group_size; ++rank) {
      const RowRange rows = rows_of_rank(shape, sequence, rank);
      if (rows.begin == rows.end) continue;
      plan.combines.push_back({sequence.request_idx, sequence.kv_head_idx, rows.begin, rows.end,
                               slot_idx * shape.group_size + rank, num_pieces});
    }
  }
}

}  // namespace

void list_items(const GroupPlan& groups, std::span<const std::int32_t> kv_lengths, WorkPlan& plan) {
  const GroupShape& shape = groups.shape;
  const PieceList pieces(groups, kv_lengths);
  plan.items.clear();
  plan.worker_begin.clear();
  plan.combines.clear();
  plan.num_slots = static_cast<std::int32_t>(shape.num_slots());
  for (std::int32_t worker = 0; worker < shape.num_groups * shape.group_size; ++worker) {
    const auto group = static_cast<std::size_t>(worker / shape.group_size);
    const std::int32_t rank = worker % shape.group_size;
    plan.worker_begin.push_back(static_cast<std::int32_t>(plan.items.size()));
    for (std::int32_t i = groups.first_ranges[group]; i < groups.first_ranges[group + 1]; ++i) {
      pieces.for_each_in_range(i, [&](const Piece& piece, const Sequence& sequence,
                                      std::int32_t s_k) {
        const RowRange rows = rows_of_rank(shape, sequence, rank);
        if (rows.begin == rows.end) return;
        const std::int32_t end = std::min(piece.key_end, keys_of_rows(shape, s_k, rows.end));
        plan.items.push_back({sequence.request_idx, sequence.kv_head_idx, rows.begin, rows.end,
                              std::min(piece.key_begin, end), end,
                              piece.slot_idx < 0 ? -1 : piece.slot_idx * shape.group_size + rank});
      });
    }
  }
  plan.worker_begin.push_back(static_cast<std::int32_t>(plan.items.size()));
  list_combines(groups, plan);
}

}  // namespace seesaw::scheduling
