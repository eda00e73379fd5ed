// Latent caches far larger than the CPU's own caches, so that every call finds its keys in memory
// and not where the call before left them.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/memory.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw::bench {

/// Two pools of random latents of one type: pages in shuffled order for Seesaw, and contiguous
/// requests for baselines that know no pages. Pools of their own, so that no contender finds warm
/// what another has just read.
class ColdCache {
 public:
  /// Each pool takes pool_bytes, rounded down to whole pages.
  ColdCache(DType dtype, std::int64_t d_qk, std::int64_t page_size, std::int64_t pool_bytes,
            std::uint64_t seed);

  DType dtype() const { return dtype_; }
  /// Requests of s_k tokens (a multiple of the page size) that share no page.
  std::int64_t num_requests(std::int64_t s_k) const;
  /// The requests of a pool in turn, whoever asks: between two uses of one lies the whole pool.
  std::int64_t next_request(std::int64_t s_k);
  std::int64_t next_contiguous_request(std::int64_t s_k);

  /// [num_pages, page_size, 1, d_qk].
  ConstTensorView pages() const;
  /// int32 [1, s_k / page_size]: the pages of a request.
  ConstTensorView block_table(std::int64_t request_idx, std::int64_t s_k) const;

  /// The contiguous request [s_k, d_qk], and its keys seen as pages with a block table.
  const std::byte* contiguous(std::int64_t request_idx, std::int64_t s_k) const;
  ConstTensorView contiguous_pages() const;
  ConstTensorView contiguous_block_table(std::int64_t request_idx, std::int64_t s_k) const;

 private:
  ConstTensorView view_of(const HugeBuffer& pool) const;
  ConstTensorView table_of(const std::vector<std::int32_t>& order, std::int64_t request_idx,
                           std::int64_t s_k) const;

  DType dtype_;
  std::int64_t d_qk_;
  std::int64_t page_size_;
  std::int64_t num_pages_;
  std::int64_t next_request_ = 0;
  std::int64_t next_contiguous_request_ = 0;
  HugeBuffer paged_;
  HugeBuffer contiguous_;
  std::vector<std::int32_t> shuffled_order_;
  std::vector<std::int32_t> natural_order_;
};

/// num_values random values of about unit variance, as `dtype`.
HugeBuffer random_values(DType dtype, std::int64_t num_values, std::uint64_t seed);

}  // namespace seesaw::bench
