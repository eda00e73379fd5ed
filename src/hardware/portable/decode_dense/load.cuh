// Queries into registers, keys into shared memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/portable/decode_dense/config.h"
#include "hardware/portable/decode_dense/work.cuh"
#include "hardware/portable/ptx/copy.cuh"
#include "hardware/portable/ptx/mma.cuh"

namespace seesaw::portable::decode_dense {

/// Elements d and d + 1 of a row of q; zero from d_qk on.
__device__ inline std::uint32_t load_query_pair(const std::uint16_t* row, int d, int d_qk,
                                                bool is_aligned) {
  if (is_aligned) return d < d_qk ? *reinterpret_cast<const std::uint32_t*>(row + d) : 0;
  const std::uint32_t first = d < d_qk ? row[d] : 0;
  const std::uint32_t second = d + 1 < d_qk ? row[d + 1] : 0;
  return first | second << 16;
}

/// This warp's 16 rows and half of d_qk, as A operands. Rows that are not there are zero.
template <int kSteps>
__device__ void load_queries(const cuda::DecodeCall& call, const Alignment& alignment,
                             const Item& item, int warp_row, int first_d,
                             std::uint32_t (&q)[kSteps][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int32_t row = item.rows.begin + warp_row + lane / 4 + 8 * half;
    const bool is_valid = row < item.rows.end;
    const std::int64_t token = row / call.shape.heads_per_kv;
    const std::int64_t head = std::int64_t{item.sequence.kv_head_idx} * call.shape.heads_per_kv +
                              row % call.shape.heads_per_kv;
    const std::uint16_t* const from = static_cast<const std::uint16_t*>(call.q) +
                                      item.sequence.request_idx * call.q_strides.request +
                                      token * call.q_strides.token + head * call.q_strides.head;
    const int d_qk = is_valid ? call.d_qk : 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int d = first_d + 16 * step + 2 * (lane % 4);
      q[step][half] = load_query_pair(from, d, d_qk, alignment.has_4_byte_queries);
      q[step][half + 2] = load_query_pair(from, d + 8, d_qk, alignment.has_4_byte_queries);
    }
  }
}

/// Copies keys step by step. Eight threads share a key. Keys past the end are zeros, and nothing is
/// read for them: neither the block table nor the cache.
template <typename Config>
class KeyLoader {
 public:
  /// Fetches the first step's page number.
  __device__ KeyLoader(const cuda::DecodeCall& call, const Alignment& alignment, const Item& item)
      : call_(call), alignment_(alignment), item_(item) {
    key_ = static_cast<std::uint32_t>(item.key_begin) + threadIdx.x / kThreadsPerKey;
    fetch_page();
  }

  /// Starts copying the next step's keys into `stage` (its first byte); wait_for_copies() ends it.
  __device__ void load_step(std::uint16_t* stage) {
    const bool is_valid = is_in_item();
    const std::uint16_t* key = static_cast<const std::uint16_t*>(call_.kv_cache);
    if (is_valid) {
      key += item_.sequence.kv_head_idx * call_.kv_head_stride +
             std::int64_t{page_} * call_.page_stride +
             std::int64_t{token_in_page_} * call_.token_stride;
    }
    std::uint16_t* const to =
        stage + static_cast<int>(threadIdx.x) / kThreadsPerKey * Config::kPitch;
    if (alignment_.has_16_byte_keys) {
      copy_aligned(to, key, is_valid);
    } else {
      copy_elements(to, key, is_valid);
    }
    key_ += Config::kStepTokens;
    fetch_page();
  }

 private:
  static constexpr int kThreadsPerKey = kThreads / Config::kStepTokens;

  __device__ bool is_in_item() const { return key_ < static_cast<std::uint32_t>(item_.key_end); }

  /// A step ahead, so that no copy waits for it.
  __device__ void fetch_page() {
    if (!is_in_item()) return;
    const auto page_size = static_cast<std::uint32_t>(call_.page_size);
    const std::uint32_t page_idx = key_ / page_size;
    token_in_page_ = key_ - page_idx * page_size;
    page_ = call_.block_table[item_.sequence.request_idx * call_.block_table_request_stride +
                              page_idx * call_.block_table_page_stride];
  }

  __device__ void copy_aligned(std::uint16_t* to, const std::uint16_t* key, bool is_valid) const {
    constexpr int kChunks = Config::kDQk / 8 / kThreadsPerKey;
    const int d_qk = is_valid ? call_.d_qk : 0;
    const int thread = static_cast<int>(threadIdx.x) % kThreadsPerKey;
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int d = 8 * (thread + kThreadsPerKey * i);
      const int num_bytes = 2 * min(max(d_qk - d, 0), 8);
      copy_16_bytes(shared_address(to + d), num_bytes > 0 ? key + d : key, num_bytes);
    }
  }

  /// For keys of any alignment; not asynchronous.
  __device__ void copy_elements(std::uint16_t* to, const std::uint16_t* key, bool is_valid) const {
    constexpr int kElements = Config::kDQk / kThreadsPerKey;
    const int d_qk = is_valid ? call_.d_qk : 0;
    const int thread = static_cast<int>(threadIdx.x) % kThreadsPerKey;
#pragma unroll 8
    for (int i = 0; i < kElements; ++i) {
      const int d = thread + kThreadsPerKey * i;
      to[d] = d < d_qk ? key[d] : std::uint16_t{0};
    }
  }

  const cuda::DecodeCall& call_;
  const Alignment& alignment_;
  const Item& item_;
  // Unsigned: the step after the last may begin beyond 2^31 - 1.
  std::uint32_t key_;  // of this thread in the next step
  std::int32_t page_ = 0;
  std::uint32_t token_in_page_ = 0;
};

}  // namespace seesaw::portable::decode_dense
