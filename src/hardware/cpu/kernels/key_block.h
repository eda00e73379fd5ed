// Where the keys of a tile lie, block by block: pointers to quads of tokens, straight into the
// pages where those can be read as they are, else into a copy.
#pragma once

#include "hardware/cpu/kernels/simd.h"
#include "hardware/cpu/kernels/tile_task.h"

namespace seesaw::cpu {
namespace {

inline constexpr int kMaxQuads = 48;

/// Quads of keys in the pages: token i of a quad is at quads[quad] + i * token_stride.
struct KeyRows {
  const std::byte* quads[kMaxQuads];
  int num_quads = 0;
  std::ptrdiff_t token_stride = 0;
  int num_lines = 0;  // cache lines a key
};

/// Asks for the lines of some rows, one at a time, in the order of their addresses.
///
/// Paced by the arithmetic and in order: a core keeps only about two dozen prefetches of its own in
/// flight, too few for the latency of memory; lines in sequence wake the cache's own prefetcher,
/// which keeps more (docs/kernels/cpu_attention.md has the measurement).
class Prefetcher {
 public:
  explicit Prefetcher(const KeyRows& rows) : rows_(rows), num_rows_(rows.num_quads * 4) {}

  SEESAW_INLINE void next_line() {
    if (line_ == 0) {
      if (row_idx_ == num_rows_) return;
      row_ = rows_.quads[row_idx_ / 4] + row_idx_ % 4 * rows_.token_stride;
    }
    __builtin_prefetch(row_ + line_ * 64);
    if (++line_ == rows_.num_lines) {
      line_ = 0;
      ++row_idx_;
    }
  }

 private:
  const KeyRows& rows_;
  const int num_rows_;
  int row_idx_ = 0;
  int line_ = 0;
  const std::byte* row_ = nullptr;
};

/// Keys ready to be multiplied.
struct KeyBlock {
  const std::byte* const* quads = nullptr;
  int num_quads = 0;
  int num_tokens = 0;  // those beyond, up to num_quads * 4, are readable and finite
  std::ptrdiff_t token_stride = 0;
  std::int64_t kv_begin = 0;  // position of the first token
};

/// Walks a task's keys in blocks of block_tokens, at most kMaxBlockTokens.
///
/// A block is read in place if Arith can multiply the pages' elements, quads do not straddle pages
/// and all four tokens of each quad belong to the request: a slot behind the last token may hold
/// NaN, and 0 * NaN would reach the output. Otherwise its keys are copied (and widened) to `rows`,
/// the last quad filled up with zeros.
template <typename Arith, int kMaxBlockTokens>
class KeyBlocks {
 public:
  static_assert(kMaxBlockTokens <= kMaxQuads * 4);

  KeyBlocks(const TileTask& task, int block_tokens, std::byte* rows, int row_bytes)
      : task_(task),
        keys_(task.keys),
        block_tokens_(block_tokens),
        rows_(rows),
        row_bytes_(row_bytes),
        kv_next_(task.kv_begin) {
    for (int quad = 0; quad < kMaxBlockTokens / 4; ++quad) {
      copied_[quad] = rows + static_cast<std::ptrdiff_t>(quad) * 4 * row_bytes;
    }
    has_quads_ = keys_.columns == nullptr && keys_.page_size % 4 == 0 && task.kv_begin % 4 == 0;
    reads_pages_ = has_quads_ && Arith::multiplies(keys_.dtype, task.d_qk, task.d_v);
    find(kv_next_, pages_[0]);
  }

  /// Steps to the next block; false behind the last.
  bool next() {
    if (kv_next_ >= task_.kv_end) return false;
    block_.kv_begin = kv_next_;
    const int num_tokens =
        static_cast<int>(smaller<std::int64_t>(block_tokens_, task_.kv_end - kv_next_));
    kv_next_ += num_tokens;
    find(kv_next_, pages_[1 - at_]);
    if (reads_pages_ && num_tokens % 4 == 0) {
      block_.quads = pages_[at_].quads;
      block_.token_stride = keys_.token_stride;
      block_.num_tokens = num_tokens;
    } else {
      copy(num_tokens);
    }
    block_.num_quads = (block_.num_tokens + 3) / 4;
    at_ = 1 - at_;
    return true;
  }

  const KeyBlock& current() const { return block_; }
  /// The pages' rows of the block after the current one; none at the end.
  const KeyRows& ahead() const { return pages_[at_]; }

 private:
  SEESAW_INLINE const std::byte* dense_key(std::int64_t token) const {
    const std::int64_t page = keys_.pages[token / keys_.page_size * keys_.pages_step];
    return keys_.data + page * keys_.page_stride + token % keys_.page_size * keys_.token_stride;
  }

  void find(std::int64_t kv_begin, KeyRows& rows) const {
    rows.num_quads = 0;
    if (!has_quads_) return;
    const std::int64_t end = smaller<std::int64_t>(kv_begin + block_tokens_, task_.kv_end);
    for (std::int64_t token = kv_begin; token < end; token += 4) {
      rows.quads[rows.num_quads++] = dense_key(token);
    }
    rows.token_stride = keys_.token_stride;
    const int element_bytes = keys_.dtype == DType::kFloat32 ? 4 : 2;
    rows.num_lines = (task_.d_qk * element_bytes + 63) / 64;
  }

  void copy(int num_tokens) {
    std::byte* row = rows_;
    for (int i = 0; i < num_tokens; ++i) {
      const std::byte* key = nullptr;
      if (keys_.columns == nullptr) {
        key = dense_key(block_.kv_begin + i);
      } else {
        const std::int64_t slot = keys_.columns[(block_.kv_begin + i) * keys_.columns_step];
        if (slot < 0) continue;  // no key: the block just gets shorter
        key = keys_.data + slot / keys_.page_size * keys_.page_stride +
              slot % keys_.page_size * keys_.token_stride;
      }
      Arith::widen_row(key, keys_.dtype, task_.d_qk, row);
      clear_padding(row);
      row += row_bytes_;
    }
    block_.num_tokens = static_cast<int>((row - rows_) / row_bytes_);
    for (int i = block_.num_tokens; i % 4 != 0; ++i, row += row_bytes_) {
      __builtin_memset(row, 0, static_cast<std::size_t>(row_bytes_));
    }
    block_.quads = copied_;
    block_.token_stride = row_bytes_;
  }

  /// Dimensions behind d_qk: read where d_v or a step rounds up, so they must be finite.
  SEESAW_INLINE void clear_padding(std::byte* row) const {
    const int used = task_.d_qk * Arith::kElementBytes;
    if (used < row_bytes_)
      __builtin_memset(row + used, 0, static_cast<std::size_t>(row_bytes_ - used));
  }

  const TileTask& task_;
  const KeySource& keys_;
  const int block_tokens_;
  std::byte* rows_;
  int row_bytes_;
  std::int64_t kv_next_;
  bool has_quads_ = false;
  bool reads_pages_ = false;
  KeyBlock block_;
  KeyRows pages_[2];
  int at_ = 0;
  const std::byte* copied_[kMaxBlockTokens / 4];
};

}  // namespace
}  // namespace seesaw::cpu
