// The arithmetic of scheduling on plain integers: where a request's rows and keys are cut, and how
// a sequence of tiles is cut into ranges. No memory is owned and nothing but arguments is read, so
// the same functions serve the planner on a device.
#pragma once

#include <algorithm>
#include <cstdint>

namespace seesaw::scheduling {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t step) noexcept {
  return ceil_div(a, step) * step;
}

/// The rows of one (request, KV head), cut into tiles of at most rows_per_tile rows, none of which
/// crosses a multiple of `span` (which divides num_rows).
struct RowCut {
  std::int64_t num_rows = 0;
  std::int64_t span = 1;
  std::int64_t rows_per_tile = 1;

  constexpr std::int64_t num_tiles() const noexcept {
    return num_rows == 0 ? 0 : num_rows / span * ceil_div(span, rows_per_tile);
  }
  /// End of the tile that begins at row_begin.
  constexpr std::int64_t row_end(std::int64_t row_begin) const noexcept {
    const std::int64_t span_end = row_begin < span ? span : (row_begin / span + 1) * span;
    return std::min(row_begin + rows_per_tile, span_end);
  }
};

/// Keys 0 .. n that the queries 0 .. last_query of q_len see under a causal mask aligned to the
/// last key; 0 where there are more queries than keys before them.
constexpr std::int64_t causal_keys(std::int64_t s_k, std::int64_t q_len,
                                   std::int64_t last_query) noexcept {
  return std::clamp<std::int64_t>(s_k - q_len + last_query + 1, 0, s_k);
}

/// Keys 0 .. num_keys cut at multiples of a granule: the first num_pieces - num_long pieces have
/// `base` granules, the others one more; the last ends at num_keys.
struct KeyCut {
  std::int64_t num_keys = 0;
  std::int64_t granule = 1;
  std::int64_t num_pieces = 1;
  std::int64_t base = 0;
  std::int64_t num_long = 0;

  constexpr std::int64_t begin(std::int64_t piece_idx) const noexcept {
    const std::int64_t long_before = std::max<std::int64_t>(0, piece_idx - num_pieces + num_long);
    return std::min(num_keys, granule * (piece_idx * base + long_before));
  }
  constexpr std::int64_t end(std::int64_t piece_idx) const noexcept {
    return piece_idx + 1 == num_pieces ? num_keys : begin(piece_idx + 1);
  }
  constexpr std::int64_t size(std::int64_t piece_idx) const noexcept {
    return end(piece_idx) - begin(piece_idx);
  }
};

/// num_pieces pieces (or as many as there are granules) that differ by a granule at most.
constexpr KeyCut even_cut(std::int64_t num_keys, std::int64_t granule,
                          std::int64_t num_pieces) noexcept {
  if (num_pieces == 1 || num_keys <= granule) return {num_keys, granule};
  const std::int64_t granules = ceil_div(num_keys, granule);
  const std::int64_t n = std::min(num_pieces, granules);
  return {num_keys, granule, n, granules / n, granules % n};
}

/// Pieces of `chunk` keys (a multiple of the granule), the last one shorter: piece i is
/// [i * chunk, (i + 1) * chunk) whatever the length.
constexpr KeyCut chunk_cut(std::int64_t num_keys, std::int64_t granule,
                           std::int64_t chunk) noexcept {
  if (num_keys <= chunk) return {num_keys, granule};
  return {num_keys, granule, ceil_div(num_keys, chunk), chunk / granule, 0};
}

/// As many even pieces as possible that all have min_keys keys or more; one where there are fewer.
///
/// With unit = min_keys rounded up to the granule, n = 1 + floor((num_keys - min_keys) / unit)
/// pieces are made of G = ceil(num_keys / granule) granules. Every piece has min_keys or more:
///   num_keys >= (n - 1) unit + min_keys > n unit - granule, so base = floor(G / n) granules are a
///   unit or more, which settles all pieces but the last. The last one, where it is long or base
///   exceeds a unit, holds more than a unit; and where all have exactly a unit it holds
///   num_keys - (n - 1) unit >= min_keys.
constexpr KeyCut finest_cut(std::int64_t num_keys, std::int64_t granule,
                            std::int64_t min_keys) noexcept {
  const std::int64_t unit = round_up(min_keys, granule);
  if (num_keys < unit + min_keys) return even_cut(num_keys, granule, 1);
  return even_cut(num_keys, granule, 1 + (num_keys - min_keys) / unit);
}

/// The keys at which a tile may be cut: first, first + step, .. , count of them. They divide it
/// into blocks: block 0 is [0, first), block i begins at the i-th cut.
struct CutPoints {
  std::int64_t first = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;

  constexpr std::int64_t num_blocks() const noexcept { return count + 1; }
  constexpr std::int64_t begin(std::int64_t block_idx) const noexcept {
    return block_idx == 0 ? 0 : first + (block_idx - 1) * step;
  }
  /// The last block that begins within the first num_keys keys.
  constexpr std::int64_t last_begin_within(std::int64_t num_keys) const noexcept {
    return num_keys < first ? 0 : std::min(count, (num_keys - first) / step + 1);
  }
  /// Keys of the largest of the blocks of a tile of num_keys.
  constexpr std::int64_t largest_block(std::int64_t num_keys) const noexcept {
    if (count == 0) return num_keys;
    return std::max({first, count > 1 ? step : 0, num_keys - begin(count)});
  }
};

/// Every granule that leaves min_keys keys or more on both sides is a cut, or every so many of
/// them: step is granule or a multiple of it.
constexpr CutPoints cut_points(std::int64_t num_keys, std::int64_t granule, std::int64_t step,
                               std::int64_t min_keys) noexcept {
  const std::int64_t first = round_up(min_keys, granule);
  const std::int64_t room = num_keys - min_keys - first;
  if (room < 0) return {};
  return {first, step, room / step + 1};
}

}  // namespace seesaw::scheduling
