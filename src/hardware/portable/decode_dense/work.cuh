// A block's work: which keys, for which rows, and where the result goes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/decode_call.h"
#include "hardware/portable/decode_dense/alignment.h"

namespace seesaw::portable::decode_dense {

/// The keys of a sequence that a block multiplies with its rows, and the columns of O that it sums.
struct Item {
  Sequence sequence;
  RowRange rows;  // of this block's rank
  std::int32_t s_k;
  std::int32_t key_begin;
  std::int32_t key_end;  // not after the last key that a row sees, nor before key_begin
  std::int32_t first_column;
  std::int64_t slot_idx;  // counted in ranks; -1: the whole sequence
};

__device__ inline Item item_of(const cuda::DecodeCall& call, std::int32_t range_idx,
                               const Cut& begin, const Cut& end, std::int32_t sequence_idx,
                               std::int32_t rank) {
  const GroupShape& shape = call.shape;
  Item item;
  item.sequence = sequence_at(shape, sequence_idx);
  item.rows = rows_of_rank(shape, item.sequence, rank);
  item.s_k = call.kv_lengths[item.sequence.request_idx];
  const Piece piece = piece_in_range(shape, range_idx, begin, end, sequence_idx,
                                     sequence_keys(shape, item.sequence, item.s_k));
  item.key_begin = piece.key_begin;
  item.key_end =
      max(piece.key_begin, min(piece.key_end, keys_of_rows(shape, item.s_k, item.rows.end)));
  item.slot_idx = piece.slot_idx < 0 ? -1 : std::int64_t{piece.slot_idx} * shape.group_size + rank;
  return item;
}

/// Where a block is in its ranges. Kept in shared memory, with the item that it has come to, so
/// that it takes no registers of the products.
struct Cursor {
  std::int32_t rank;
  std::int32_t range_idx;
  std::int32_t range_end;
  std::int32_t sequence_idx;  // of the range; -1: its first
  std::int32_t next_column;   // of the sequence
  bool has_item;
  Item item;
};

__device__ inline void open_cursor(const cuda::DecodeCall& call, Cursor& cursor) {
  const auto worker = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t group = worker / call.shape.group_size;
  cursor.rank = worker % call.shape.group_size;
  cursor.range_idx = call.first_ranges[group];
  cursor.range_end = call.first_ranges[group + 1];
  cursor.sequence_idx = -1;
  cursor.next_column = 0;
}

/// Moves on to the next item that has rows, if there is one. By one thread.
__device__ inline void next_item(const cuda::DecodeCall& call, std::int32_t columns_per_item,
                                 Cursor& cursor) {
  for (; cursor.range_idx < cursor.range_end; ++cursor.range_idx, cursor.sequence_idx = -1) {
    const Cut begin = call.cuts[cursor.range_idx];
    const Cut end = call.cuts[cursor.range_idx + 1];
    const std::int32_t sequence_end =
        begin == end ? begin.sequence_idx : end.sequence_idx + (end.block_idx > 0 ? 1 : 0);
    if (cursor.sequence_idx < 0) cursor.sequence_idx = begin.sequence_idx;
    for (; cursor.sequence_idx < sequence_end; ++cursor.sequence_idx, cursor.next_column = 0) {
      if (cursor.next_column >= call.d_v) continue;
      cursor.item = item_of(call, cursor.range_idx, begin, end, cursor.sequence_idx, cursor.rank);
      cursor.item.first_column = cursor.next_column;
      cursor.next_column += columns_per_item;
      cursor.has_item = cursor.item.rows.begin < cursor.item.rows.end;
      if (cursor.has_item) return;
    }
  }
  cursor.has_item = false;
}

}  // namespace seesaw::portable::decode_dense
