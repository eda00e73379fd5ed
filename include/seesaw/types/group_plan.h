// How a dense decode is laid over groups of workers that share their keys: the plan of devices
// whose workers (streaming multiprocessors) compute one tile of query rows each. Plain data and
// integer arithmetic, the same on the host, in the planner on the device and in the kernels.
//
// A sequence is the keys of one (request, KV head), read by a group of workers at the same time:
// the worker of rank r multiplies them with the r-th tile of query rows, so that keys come from
// memory once for group_size tiles. All sequences stand in a row; cuts divide that row into ranges,
// and each group works through consecutive ranges. A sequence that a cut divides is merged at the
// end.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace seesaw {

/// A place between two blocks of keys: before block block_idx of sequence sequence_idx. The end of
/// a sequence is written as the beginning of the next one.
struct Cut {
  std::int32_t sequence_idx = 0;
  std::int32_t block_idx = 0;
  friend constexpr bool operator==(const Cut&, const Cut&) = default;
  // clang-tidy 14 takes the 0 in what a < b is rewritten to for a pointer.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  friend constexpr auto operator<=>(const Cut&, const Cut&) = default;
};

/// Everything about the division that does not depend on lengths.
struct GroupShape {
  std::int32_t batch = 0;
  std::int32_t s_q = 1;
  std::int32_t h_kv = 1;
  std::int32_t heads_per_kv = 1;    // h_q / h_kv
  std::int32_t rows_per_tile = 64;  // query rows of a worker
  std::int32_t tokens_per_block = 64;
  std::int32_t group_size = 1;  // workers that share a sequence
  std::int32_t row_groups = 1;  // sequences of a (request, KV head), one after the other
  std::int32_t num_groups = 1;
  std::int32_t num_ranges = 1;
  std::int32_t slots_per_range = 1;  // 2 where a range may touch more than one sequence
  bool is_causal = false;

  constexpr std::int32_t num_rows() const noexcept { return s_q * heads_per_kv; }
  constexpr std::int64_t num_sequences() const noexcept {
    return std::int64_t{batch} * h_kv * row_groups;
  }
  constexpr std::int64_t num_slots() const noexcept {
    return std::int64_t{num_ranges} * slots_per_range * group_size;
  }
};

/// Who a sequence belongs to.
struct Sequence {
  std::int32_t request_idx = 0;
  std::int32_t kv_head_idx = 0;
  std::int32_t row_begin = 0;  // of rank 0's tile
};

constexpr Sequence sequence_at(const GroupShape& shape, std::int32_t sequence_idx) noexcept {
  const std::int32_t head = sequence_idx / shape.row_groups;
  return {head / shape.h_kv, head % shape.h_kv,
          sequence_idx % shape.row_groups * shape.group_size * shape.rows_per_tile};
}

/// Rows [begin, end) of a rank in a sequence; none where begin == end.
struct RowRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

constexpr RowRange rows_of_rank(const GroupShape& shape, const Sequence& sequence,
                                std::int32_t rank) noexcept {
  const std::int32_t begin = sequence.row_begin + rank * shape.rows_per_tile;
  const std::int32_t end = begin + shape.rows_per_tile;
  const std::int32_t num_rows = shape.num_rows();
  return {begin < num_rows ? begin : num_rows, end < num_rows ? end : num_rows};
}

/// Keys that the rows before row_end see, of s_k: all, or as a causal mask leaves.
constexpr std::int32_t keys_of_rows(const GroupShape& shape, std::int32_t s_k,
                                    std::int32_t row_end) noexcept {
  if (!shape.is_causal || row_end <= 0) return s_k;
  const std::int32_t keys = s_k - shape.s_q + (row_end - 1) / shape.heads_per_kv + 1;
  return keys < 0 ? 0 : keys;
}

/// Keys that any row of the sequence sees.
constexpr std::int32_t sequence_keys(const GroupShape& shape, const Sequence& sequence,
                                     std::int32_t s_k) noexcept {
  return keys_of_rows(shape, s_k, rows_of_rank(shape, sequence, shape.group_size - 1).end);
}

/// The part of a sequence that lies in a range, in keys; is_whole: nothing to merge.
struct Piece {
  std::int32_t sequence_idx = 0;
  std::int32_t key_begin = 0;
  std::int32_t key_end = 0;
  std::int32_t slot_idx = -1;  // of the range; -1: whole
};

/// The piece of sequence_idx (of num_keys keys) in the range [begin, end) of index range_idx.
constexpr Piece piece_in_range(const GroupShape& shape, std::int32_t range_idx, const Cut& begin,
                               const Cut& end, std::int32_t sequence_idx,
                               std::int32_t num_keys) noexcept {
  Piece piece{sequence_idx, 0, num_keys, -1};
  const bool starts_inside = begin.sequence_idx == sequence_idx && begin.block_idx > 0;
  const bool ends_inside = end.sequence_idx == sequence_idx;
  if (starts_inside) piece.key_begin = begin.block_idx * shape.tokens_per_block;
  if (ends_inside) piece.key_end = end.block_idx * shape.tokens_per_block;
  if (starts_inside) {
    piece.slot_idx = range_idx * shape.slots_per_range;
  } else if (ends_inside) {
    piece.slot_idx = range_idx * shape.slots_per_range + shape.slots_per_range - 1;
  }
  return piece;
}

/// True where the range [begin, end) holds the first piece of a sequence that goes on in the ranges
/// after it: end.sequence_idx. That range's last slot is the first to merge; the first slots of the
/// following ranges, empty ones left out, up to and with the one whose end lies in another
/// sequence, are the others.
constexpr bool begins_split_sequence(const Cut& begin, const Cut& end) noexcept {
  return end.block_idx > 0 && (begin.sequence_idx < end.sequence_idx || begin.block_idx == 0);
}

// A split sequence may be merged by the workers that made its pieces, as a tree: whoever writes the
// last of up to kMergeFanIn neighbouring pieces merges these into one, and whoever makes the last
// of that many of those merges them, and so on. Each worker can do so when it has nothing else left
// to do, and waits for nobody.
inline constexpr std::int32_t kMergeFanIn = 8;
inline constexpr std::int32_t kMergeLevels = 3;

/// Whether workers that are able to are to merge: where each group has one range, so that a
/// worker's pieces are the first of its work and the last, and where sequences are not so few that
/// they have many pieces: those all workers merge faster, row by row, when all pieces are there.
constexpr bool merges_in_workers(const GroupShape& shape) noexcept {
  constexpr std::int32_t kMostRanges = kMergeFanIn * kMergeFanIn * kMergeFanIn;
  constexpr std::int32_t kFewPieces = 3;  // of a sequence, on average
  return shape.num_ranges == shape.num_groups && shape.num_ranges <= kMostRanges &&
         shape.num_ranges <= kFewPieces * shape.num_sequences();
}

/// How the planner cuts; chosen from the problem, the device and the mode, never from lengths.
struct CutRule {
  enum class Kind : std::uint8_t {
    kFlow,    // even shares of the whole row of sequences; a range may touch several
    kSpread,  // no more sequences than groups: each gets groups of its own, by its length, where
              // that ends no later than even shares; else as kFlow
    kPieces,  // each sequence is cut by its own length only, ranges are dealt in order
  };
  Kind kind = Kind::kFlow;
  std::int32_t sequence_overhead = 0;  // what starting a sequence costs, in blocks
  std::int32_t min_piece_blocks = 1;   // kFlow, kSpread: no smaller piece is cut off
  std::int32_t max_pieces = 1;         // kPieces: ranges of a sequence
  std::int32_t blocks_per_piece = 1;   // kPieces: fewer pieces where they would be smaller
};

/// The division for known lengths, or (cuts empty) what the planner on the device needs to make it.
struct GroupPlan {
  GroupShape shape;
  CutRule rule;
  std::vector<Cut> cuts;                   // [num_ranges + 1]
  std::vector<std::int32_t> first_ranges;  // [num_groups + 1]: ranges of a group

  // In the workspace, in bytes: cuts, first_ranges, int32 kv_lengths [b], int32 arrivals
  // [num_arrivals()], then the planner's own.
  std::size_t cuts_offset = 0;
  std::size_t first_ranges_offset = 0;
  std::size_t kv_lengths_offset = 0;
  std::size_t arrivals_offset = 0;
  std::size_t scratch_offset = 0;

  /// Of [kMergeLevels, num_slots], where workers may merge pieces themselves; else 0.
  constexpr std::int64_t num_arrivals() const noexcept {
    return merges_in_workers(shape) ? kMergeLevels * shape.num_slots() : 0;
  }
};

}  // namespace seesaw
