// What the block is to do, listed in shared memory ahead of its time, so that neither the copies
// nor the products ever wait for a cut, a length or a page number. One warp, sixteen steps at a
// time.
//
// An item is a piece of a sequence for this block's rows. Its steps are one for its queries and one
// for each tile of keys; an item without keys has one tile of no token.
#pragma once

#include "hardware/sm90/decode_dense/kernel_args.h"
#include "hardware/sm90/decode_dense/layouts.cuh"
#include "hardware/sm90/ptx/copy.cuh"
#include "hardware/sm90/ptx/thread.cuh"

namespace seesaw::sm90::decode_dense {

/// Before the first item of a group.
__device__ inline Cursor first_cursor(const cuda::DecodeCall& call, int group) {
  const bool is_one_each = call.shape.num_ranges == call.shape.num_groups;
  Cursor cursor{};
  cursor.range_idx = is_one_each ? group : call.first_ranges[group];
  cursor.range_end = is_one_each ? group + 1 : call.first_ranges[group + 1];
  cursor.sequence_idx = -1;
  return cursor;
}

/// What cuts alone tell of an item.
struct Place {
  Cut begin;  // of its range
  Cut end;
  int sequence_idx;
  Sequence sequence;
  RowRange rows;  // of this block; none: there are no more items
};

/// Moves the cursor past the next item that has rows of this rank.
__device__ inline Place next_place(const cuda::DecodeCall& call, int rank, Cursor& cursor) {
  const GroupShape& shape = call.shape;
  while (cursor.range_idx < cursor.range_end) {
    const Cut begin = call.cuts[cursor.range_idx];
    const Cut end = call.cuts[cursor.range_idx + 1];
    const int sequence_idx = cursor.sequence_idx < 0 ? begin.sequence_idx : cursor.sequence_idx;
    if (!(Cut{sequence_idx, sequence_idx == begin.sequence_idx ? begin.block_idx : 0} < end)) {
      ++cursor.range_idx;
      cursor.sequence_idx = -1;
      continue;
    }
    cursor.sequence_idx = sequence_idx + 1;
    const Sequence sequence = sequence_at(shape, sequence_idx);
    const RowRange rows = rows_of_rank(shape, sequence, rank);
    if (rows.begin < rows.end) return {begin, end, sequence_idx, sequence, rows};
  }
  return {};
}

/// Moves the cursor to the next item and lists it; false where there is none. By a whole warp.
__device__ inline bool open_next_item(const cuda::DecodeCall& call, int rank, Lists& lists,
                                      Cursor& cursor) {
  const GroupShape& shape = call.shape;
  const Place place = next_place(call, rank, cursor);
  const auto& [begin, end, sequence_idx, sequence, rows] = place;
  if (rows.begin == rows.end) return false;

  const int s_k = call.kv_lengths[sequence.request_idx];
  const Piece piece = piece_in_range(shape, cursor.range_idx, begin, end, sequence_idx,
                                     sequence_keys(shape, sequence, s_k));
  cursor.request_idx = sequence.request_idx;
  cursor.kv_head_idx = sequence.kv_head_idx;
  cursor.key_begin = piece.key_begin;
  cursor.key_end = max(piece.key_begin, min(piece.key_end, keys_of_rows(shape, s_k, rows.end)));
  cursor.visible_end = min(cursor.key_end, keys_of_rows(shape, s_k, rows.begin + 1));
  cursor.tile_idx = -1;
  // No sum here may pass 2^31 - 1, the largest length.
  cursor.num_tiles = max(0, cursor.key_end - cursor.key_begin - 1) / kTokens + 1;
  if (threadIdx.x % 32 == 0) {
    lists.items[item_place(cursor.num_items)] = {
        .request_idx = sequence.request_idx,
        .kv_head_idx = sequence.kv_head_idx,
        .row_begin = rows.begin,
        .num_rows = rows.end - rows.begin,
        .key_end = cursor.key_end,
        .s_k = s_k,
        .slot_idx = piece.slot_idx < 0 ? -1 : piece.slot_idx * shape.group_size + rank};
  }
  ++cursor.num_items;
  return true;
}

/// Lists the tile of keys that a lane is given. Its page numbers are under way when this returns.
__device__ inline void list_tile(const KernelArgs& args, const Cursor& cursor, int tile_idx,
                                 int step, Lists& lists) {
  const int token = cursor.key_begin + tile_idx * kTokens;
  const int num_tokens = min(kTokens, cursor.key_end - token);
  const int flags = (tile_idx == 0 ? kFirstTile : 0) |
                    (tile_idx + 1 == cursor.num_tiles ? kLastTile : 0) |
                    (cursor.visible_end - token < kTokens ? kMasked : 0);
  const int num_pages = (num_tokens + args.box_tokens - 1) / args.box_tokens;
  int page_idx = 0;
  int token_in_page = 0;
  args.page_size(page_idx, token_in_page, token);
  lists.steps[step % kRingSteps] = {
      .token_begin = token,
      .token_in_page = token_in_page,
      .kv_head_idx = cursor.kv_head_idx,
      .facts = StepFacts::of(flags, item_place(cursor.num_items - 1), num_tokens, num_pages)};
  const std::int64_t page_stride = args.call.block_table_page_stride;
  const std::int32_t* from = args.call.block_table +
                             cursor.request_idx * args.call.block_table_request_stride +
                             page_idx * page_stride;
  const auto to =
      static_cast<std::uint32_t>(__cvta_generic_to_shared(lists.pages[step % kRingSteps]));
#pragma unroll 1
  for (int i = 0; i < num_pages; ++i) ptx::copy_4_bytes(to + 4 * i, from + i * page_stride);
}

/// Lists steps [first_step, first_step + kFillSteps). By a whole warp; the lists may be read after
/// ptx::wait_for_copies and a barrier.
__device__ inline void list_steps(const KernelArgs& args, int rank, int first_step, Lists& lists) {
  const int lane = threadIdx.x % 32;
  const int step_end = first_step + kFillSteps;
  Cursor cursor = lists.cursor;
  for (int step = first_step; step < step_end;) {
    if (cursor.tile_idx == cursor.num_tiles && !open_next_item(args.call, rank, lists, cursor)) {
      if (lane < step_end - step)
        lists.steps[(step + lane) % kRingSteps].facts = StepFacts::of(kEnd, 0, 0, 0);
      break;
    }
    if (cursor.tile_idx < 0) {
      if (lane == 0) {
        lists.steps[step % kRingSteps].facts =
            StepFacts::of(kQuery, item_place(cursor.num_items - 1), 0, 0);
      }
      ++step;
      ++cursor.tile_idx;
      continue;
    }
    const int count = min(cursor.num_tiles - cursor.tile_idx, step_end - step);
    if (lane < count) list_tile(args, cursor, cursor.tile_idx + lane, step + lane, lists);
    step += count;
    cursor.tile_idx += count;
  }
  __syncwarp();  // every lane has read the cursor
  if (lane == 0) lists.cursor = cursor;
  __syncwarp();
}

/// Where the pieces of a sequence lie that has one in the range. By a whole warp.
__device__ inline Pieces find_pieces(const cuda::DecodeCall& call, int sequence_idx,
                                     int range_idx) {
  const int lane = ptx::thread() % 32;
  const Cut start{sequence_idx, 0};
  const auto cut_at = [&](int idx) { return call.cuts[min(max(idx, 0), call.shape.num_ranges)]; };
  int first = range_idx;    // the last cut that is not after the sequence's start
  int end = range_idx + 1;  // the first cut in another sequence after it
  unsigned is_before = __ballot_sync(~0u, cut_at(first - lane) <= start);
  unsigned is_after = __ballot_sync(~0u, cut_at(end + lane).sequence_idx > sequence_idx);
  while (is_before == 0) {
    first -= 32;
    is_before = __ballot_sync(~0u, cut_at(first - lane) <= start);
  }
  while (is_after == 0) {
    end += 32;
    is_after = __ballot_sync(~0u, cut_at(end + lane).sequence_idx > sequence_idx);
  }
  first -= __ffs(static_cast<int>(is_before)) - 1;
  end += __ffs(static_cast<int>(is_after)) - 1;
  const int piece_idx = range_idx - first;
  const int member = range_idx - piece_idx % kMergeFanIn + lane;
  const bool is_member =
      lane < kMergeFanIn && member < end && !(cut_at(member) == cut_at(member + 1));
  return {first, end - first, piece_idx, __ballot_sync(~0u, is_member)};
}

/// Notes where the block's pieces are merged. By a whole warp.
__device__ inline void list_pieces(const cuda::DecodeCall& call, int range_idx, Lists& lists) {
  const Cut begin = call.cuts[range_idx];
  const Cut end = call.cuts[range_idx + 1];
  Pieces first{};
  if (begin.block_idx > 0) first = find_pieces(call, begin.sequence_idx, range_idx);
  Pieces last = first;
  if (end.block_idx > 0) last = find_pieces(call, end.sequence_idx, range_idx);
  if (ptx::thread() % 32 == 0) {
    lists.first_pieces = first;
    lists.last_pieces = last;
    lists.merges_first = 0;
  }
}

/// The first lists. By a whole warp.
template <bool kMergesPieces>
__device__ inline void start_lists(const KernelArgs& args, int group, int rank, Lists& lists) {
  if (threadIdx.x % 32 == 0) lists.cursor = first_cursor(args.call, group);
  __syncwarp();
  list_steps(args, rank, 0, lists);
  if constexpr (kMergesPieces) list_pieces(args.call, group, lists);  // pages are under way
  ptx::wait_for_copies();
}

}  // namespace seesaw::sm90::decode_dense
