#include "hardware/cpu/kv_copy.h"

#include <algorithm>
#include <cstddef>

#include "seesaw/device.h"

namespace seesaw::cpu {
namespace {

// One thread copies this much in about the time that waking the others takes.
constexpr double kBytesWorthWakingThreads = 256 << 10;

ElementConverter converter_here(DType from, DType to) {
  return element_converter(from, to,
                           cpu_supports(CpuIsa::kAvx2) ? CpuIsa::kAvx2 : CpuIsa::kGeneric);
}

/// share(worker_idx, num_workers) on every worker, or (0, 1) here where the work is small.
template <typename Share>
void run_shares(double num_bytes, ThreadPool& pool, const Share& share) {
  if (num_bytes < kBytesWorthWakingThreads || pool.num_threads() == 1) return share(0, 1);
  pool.run([&](int worker_idx) { share(worker_idx, pool.num_threads()); });
}

struct Range {
  std::int64_t begin;
  std::int64_t end;
};

Range share_of(std::int64_t count, std::int64_t worker_idx, std::int64_t num_workers) {
  const std::int64_t quotient = count / num_workers;
  const std::int64_t rest = count % num_workers;
  const std::int64_t begin = worker_idx * quotient + std::min(worker_idx, rest);
  return {begin, begin + quotient + (worker_idx < rest ? 1 : 0)};
}

/// Bytes from one index of dimension i to the next; 0 where there is no next one, whose stride may
/// be anything.
template <typename View>
std::int64_t step_bytes(const View& view, int i) {
  return view.dim(i) < 2 ? 0 : view.step(i) * static_cast<std::int64_t>(size_bytes(view.dtype));
}

/// Tokens of equal distance, each of num_heads rows of equal distance.
template <typename Byte>
struct Rows {
  Byte* data = nullptr;
  std::int64_t token_step = 0;  // bytes
  std::int64_t head_step = 0;   // bytes
};

/// The rows from view[token_idx] on; view is [num_tokens, h_kv, d].
Rows<const std::byte> rows_at(const ConstTensorView& view, std::int64_t token_idx) {
  return {static_cast<const std::byte*>(view.data) + token_idx * step_bytes(view, 0),
          step_bytes(view, 0), step_bytes(view, 1)};
}
Rows<std::byte> rows_at(const TensorView& view, std::int64_t token_idx) {
  return {static_cast<std::byte*>(view.data) + token_idx * step_bytes(view, 0), step_bytes(view, 0),
          step_bytes(view, 1)};
}

/// The rows from view[page, offset] on; view is [num_pages, page_size, h_kv, d].
Rows<const std::byte> rows_at(const ConstTensorView& view, std::int64_t page, std::int64_t offset) {
  return {static_cast<const std::byte*>(view.data) + page * step_bytes(view, 0) +
              offset * step_bytes(view, 1),
          step_bytes(view, 1), step_bytes(view, 2)};
}
Rows<std::byte> rows_at(const TensorView& view, std::int64_t page, std::int64_t offset) {
  return {static_cast<std::byte*>(view.data) + page * step_bytes(view, 0) +
              offset * step_bytes(view, 1),
          step_bytes(view, 1), step_bytes(view, 2)};
}

class RowCopy {
 public:
  RowCopy(DType from, DType to, std::int64_t num_heads, std::int64_t row_elements)
      : convert_(converter_here(from, to)),
        from_bytes_(static_cast<std::int64_t>(size_bytes(from))),
        to_bytes_(static_cast<std::int64_t>(size_bytes(to))),
        num_heads_(num_heads),
        row_elements_(row_elements) {}

  /// Rows without gaps between them are converted as one.
  void operator()(Rows<const std::byte> from, Rows<std::byte> to, std::int64_t num_tokens) const {
    std::int64_t num_heads = num_heads_;
    std::int64_t row_elements = row_elements_;
    if (from.head_step == row_elements * from_bytes_ && to.head_step == row_elements * to_bytes_) {
      row_elements *= num_heads;
      num_heads = 1;
    }
    if (num_heads == 1 && from.token_step == row_elements * from_bytes_ &&
        to.token_step == row_elements * to_bytes_) {
      row_elements *= num_tokens;
      num_tokens = 1;
    }
    for (std::int64_t token = 0; token < num_tokens; ++token) {
      for (std::int64_t head = 0; head < num_heads; ++head) {
        convert_(from.data + token * from.token_step + head * from.head_step,
                 to.data + token * to.token_step + head * to.head_step, row_elements);
      }
    }
  }

 private:
  ElementConverter convert_;
  std::int64_t from_bytes_;
  std::int64_t to_bytes_;
  std::int64_t num_heads_;
  std::int64_t row_elements_;
};

/// Read and written together. A double, because views may repeat their elements (stride 0) beyond
/// what an int64 counts.
double copied_bytes(const ConstTensorView& from, DType to) {
  auto num_bytes = static_cast<double>(size_bytes(from.dtype) + size_bytes(to));
  for (int i = 0; i < from.rank; ++i) num_bytes *= static_cast<double>(from.dim(i));
  return from.rank == 0 ? 0 : num_bytes;
}

}  // namespace

void launch_append(const AppendRows& rows, ThreadPool& pool) {
  const TensorView& cache = rows.kv_cache;
  const std::int64_t page_size = cache.dim(1);
  const std::int64_t d_latent = rows.latent.dim(2);
  const bool has_rope = d_latent < cache.dim(3);
  const RowCopy copy_latent(rows.latent.dtype, cache.dtype, cache.dim(2), d_latent);
  const RowCopy copy_rope(rows.latent.dtype, cache.dtype, cache.dim(2), cache.dim(3) - d_latent);
  const std::int64_t rope_offset = d_latent * static_cast<std::int64_t>(size_bytes(cache.dtype));
  const auto* slots = static_cast<const std::int64_t*>(rows.slot_mapping.data);

  // Workers share the slots, not the tokens, in groups by turns: two tokens for one slot meet the
  // same worker, in their order.
  constexpr std::int64_t kSlotsATurn = 8;
  const auto append_share = [&](int worker_idx, int num_workers) {
    for (std::int64_t token_idx = 0; token_idx < rows.latent.dim(0); ++token_idx) {
      const std::int64_t slot = slots[token_idx * rows.slot_mapping.step(0)];
      if (slot < 0 || slot / kSlotsATurn % num_workers != worker_idx) continue;
      Rows<std::byte> target = rows_at(cache, slot / page_size, slot % page_size);
      if (d_latent > 0) copy_latent(rows_at(rows.latent, token_idx), target, 1);
      target.data += rope_offset;
      if (has_rope) copy_rope(rows_at(rows.rope, token_idx), target, 1);
    }
  };
  run_shares(copied_bytes(rows.latent, cache.dtype) + copied_bytes(rows.rope, cache.dtype), pool,
             append_share);
}

void launch_gather(const GatherRows& rows, ThreadPool& pool) {
  const std::int64_t page_size = rows.kv_cache.dim(1);
  const RowCopy copy(rows.kv_cache.dtype, rows.out.dtype, rows.out.dim(1), rows.out.dim(2));
  const auto* lengths = static_cast<const std::int32_t*>(rows.cache_seqlens.data);
  const auto* table = static_cast<const std::int32_t*>(rows.block_table.data);

  const auto gather_share = [&](int worker_idx, int num_workers) {
    const Range share = share_of(rows.out.dim(0), worker_idx, num_workers);
    std::int64_t first = 0;  // token of `out` where the request begins
    for (std::int64_t request = 0; request < rows.cache_seqlens.dim(0) && first < share.end;
         ++request) {
      const std::int64_t length = lengths[request * rows.cache_seqlens.step(0)];
      std::int64_t token = std::max<std::int64_t>(share.begin - first, 0);
      const std::int64_t end = std::min(share.end - first, length);
      while (token < end) {
        const std::int64_t page_idx = token / page_size;
        const std::int64_t offset = token % page_size;
        const std::int64_t count = std::min(page_size - offset, end - token);
        const std::int32_t page =
            table[request * rows.block_table.step(0) + page_idx * rows.block_table.step(1)];
        copy(rows_at(rows.kv_cache, page, offset), rows_at(rows.out, first + token), count);
        token += count;
      }
      first += length;
    }
  };
  run_shares(copied_bytes(rows.out, rows.kv_cache.dtype), pool, gather_share);
}

void launch_convert(const ConstTensorView& from, const TensorView& to, ThreadPool& pool) {
  const std::int64_t page_size = from.dim(1);
  const RowCopy copy(from.dtype, to.dtype, from.dim(2), from.dim(3));
  const auto convert_share = [&](int worker_idx, int num_workers) {
    const Range share = share_of(from.dim(0) * page_size, worker_idx, num_workers);
    for (std::int64_t token = share.begin; token < share.end;) {
      const std::int64_t page = token / page_size;
      const std::int64_t offset = token % page_size;
      const std::int64_t count = std::min(page_size - offset, share.end - token);
      copy(rows_at(from, page, offset), rows_at(to, page, offset), count);
      token += count;
    }
  };
  run_shares(copied_bytes(from, to.dtype), pool, convert_share);
}

void launch_copy_pages(std::span<const PageCopy> copies, const TensorView& kv_cache,
                       ThreadPool& pool) {
  const RowCopy copy(kv_cache.dtype, kv_cache.dtype, kv_cache.dim(2), kv_cache.dim(3));
  // A worker makes all copies of its own offsets within a page, so that each offset sees the copies
  // in their order.
  const auto copy_share = [&](int worker_idx, int num_workers) {
    const Range share = share_of(kv_cache.dim(1), worker_idx, num_workers);
    for (const PageCopy& page : copies) {
      const std::int64_t end = std::min<std::int64_t>(share.end, page.num_tokens);
      if (share.begin >= end) continue;
      copy(rows_at(ConstTensorView(kv_cache), page.from_page, share.begin),
           rows_at(kv_cache, page.to_page, share.begin), end - share.begin);
    }
  };
  const auto token_elements =
      static_cast<double>(kv_cache.dim(2)) * static_cast<double>(kv_cache.dim(3));
  double num_bytes = 0;
  for (const PageCopy& page : copies) {
    num_bytes +=
        2.0 * page.num_tokens * token_elements * static_cast<double>(size_bytes(kv_cache.dtype));
  }
  run_shares(num_bytes, pool, copy_share);
}

}  // namespace seesaw::cpu
