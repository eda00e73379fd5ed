// The block's shared memory, in bytes from its 1,024-byte aligned start. Columns (64 dimensions of
// 64 tokens or rows) are swizzled: the 16-byte chunk c of row r stands at chunk c ^ (r & 7).
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardware/sm90/decode_dense/config.h"

namespace seesaw::sm90::decode_dense {

inline constexpr int kRingSteps = 32;   // listed ahead
inline constexpr int kRingItems = 20;   // of those steps, at least two each; and the block's first
inline constexpr int kFillSteps = 16;   // listed at a time
inline constexpr int kMaxSubPages = 4;  // pages of a tile: of 16, 32 or 64 and more tokens

// Flags of a step.
inline constexpr int kQuery = 1;      // the item's queries pass through the stage
inline constexpr int kFirstTile = 2;  // of its item
inline constexpr int kLastTile = 4;
inline constexpr int kMasked = 8;  // some row does not see all of the tile
inline constexpr int kEnd = 16;    // there is no such step

/// Small numbers about a step, packed so that reading a step is one load.
struct StepFacts {
  std::uint32_t bits;

  __device__ static StepFacts of(int flags, int item_idx, int num_tokens, int num_pages) {
    return {static_cast<std::uint32_t>(flags | item_idx << 8 | num_tokens << 16 | num_pages << 24)};
  }
  __device__ bool has(int flag) const { return bits & flag; }
  __device__ int item_idx() const { return bits >> 8 & 0xff; }     // in the ring of items
  __device__ int num_tokens() const { return bits >> 16 & 0xff; }  // at most kTokens; may be 0
  __device__ int num_pages() const { return bits >> 24; }          // copied from
};

/// What a step of the block's work is. Steps are numbered from 0; step n uses stage n % kStages.
struct alignas(16) Step {
  std::int32_t token_begin;    // of the tile of keys, in its sequence
  std::int32_t token_in_page;  // of its first token; 0 where pages are smaller than a tile
  std::int32_t kv_head_idx;
  StepFacts facts;
};

/// A piece of a sequence for this block's rows.
struct Item {
  std::int32_t request_idx;
  std::int32_t kv_head_idx;
  std::int32_t row_begin;
  std::int32_t num_rows;
  std::int32_t key_end;  // of the piece
  std::int32_t s_k;
  std::int32_t slot_idx;  // among all slots; -1: writes the output
};

/// Ranges [first_range, first_range + num_pieces) that a split sequence lies in, some of them
/// perhaps empty; the block's is the piece_idx-th.
struct Pieces {
  std::int32_t first_range;
  std::int32_t num_pieces;  // 0: nothing that blocks merge
  std::int32_t piece_idx;
  std::uint32_t members;  // of its group: which of kMergeFanIn neighbours are not empty
};

/// Where listing has arrived.
struct Cursor {
  std::int32_t range_idx;
  std::int32_t range_end;
  std::int32_t sequence_idx;  // -1: at the range's start
  std::int32_t tile_idx;      // next of the item, -1: its queries; num_tiles: the item is done
  std::int32_t num_tiles;
  std::int32_t key_begin;
  std::int32_t key_end;
  std::int32_t visible_end;  // keys before it are seen by every row
  std::int32_t request_idx;
  std::int32_t kv_head_idx;
  std::int32_t num_items;  // so far, that one included
};

/// Place of the block's n-th item. The first one's is given to no other: it may be merged last.
__device__ inline int item_place(int n) { return n == 0 ? 0 : 1 + (n - 1) % (kRingItems - 1); }

struct Lists {
  Step steps[kRingSteps];
  Item items[kRingItems];
  std::int32_t pages[kRingSteps][kMaxSubPages];  // of a step's tile, num_pages of them
  Cursor cursor;
  Pieces first_pieces;        // of the sequence in which the block's range begins
  Pieces last_pieces;         // and of the last one's, where that is not whole
  std::int32_t merges_first;  // this block wrote the last piece beside its first item
  std::int32_t is_last;       // this block was the last to count
};

struct RowFactors {
  float alpha[2][kRows];  // O is multiplied by it before this tile; of even and odd tiles
  float finish[kRows];    // and by this after the item's last
};

template <typename Config>
struct Shared {
  static constexpr int kKeys = 0;  // [kStages][2 halves]
  static constexpr int kTail = kKeys + Config::kStages * 2 * Config::kHalfBytes;
  static constexpr int kQuery = kTail + Config::kTailColumns * Config::kColumnBytes;
  static constexpr int kWeights = kQuery + Config::kSharedQueryColumns * Config::kColumnBytes;
  static constexpr int kFactors = kWeights + Config::kColumnBytes;
  static constexpr int kLists = kFactors + static_cast<int>(sizeof(RowFactors));
  static constexpr int kMergesFirst = kLists + static_cast<int>(offsetof(Lists, merges_first));
  static constexpr int kIsLast = kLists + static_cast<int>(offsetof(Lists, is_last));
  static constexpr int kBarriers = kLists + static_cast<int>(sizeof(Lists) + 7) / 8 * 8;
  static constexpr int kBytes = kBarriers + 8 * (2 * Config::kStages + 2);
  static_assert(kBytes <= kSharedMemoryBytes);

  static constexpr int keys(int stage, int half) {
    return kKeys + (2 * stage + half) * Config::kHalfBytes;
  }
};

/// Byte of the 16-byte chunk `chunk` (0 .. 7) of a row in a column.
__device__ __forceinline__ std::uint32_t chunk_offset(int row, int chunk) {
  return static_cast<std::uint32_t>(row * 128 + ((chunk ^ row) & 7) * 16);
}

}  // namespace seesaw::sm90::decode_dense
