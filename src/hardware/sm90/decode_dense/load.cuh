// Copies into shared memory: tiles of keys by the bulk engine, queries 16 bytes a thread.
#pragma once

#include "hardware/sm90/decode_dense/barriers.cuh"
#include "hardware/sm90/decode_dense/kernel_args.h"
#include "hardware/sm90/decode_dense/layouts.cuh"
#include "hardware/sm90/ptx/copy.cuh"
#include "hardware/sm90/ptx/thread.cuh"

namespace seesaw::sm90::decode_dense {

/// Where the block stands: what every role is handed.
template <typename Config>
struct Block {
  const CUtensorMap* key_map;   // boxes of box_tokens x box_columns
  const CUtensorMap* tail_map;  // boxes of box_tokens x 1
  const KernelArgs* args;
  unsigned char* memory;
  std::uint32_t base;  // of memory, in the shared window
  int rank;

  using Memory = Shared<Config>;
  __device__ Lists& lists() const { return *reinterpret_cast<Lists*>(memory + Memory::kLists); }
  __device__ RowFactors& factors() const {
    return *reinterpret_cast<RowFactors*>(memory + Memory::kFactors);
  }
  __device__ const Step& step(int idx) const { return lists().steps[idx & (kRingSteps - 1)]; }
  __device__ Barriers<Config> barriers() const { return Barriers<Config>(base); }
};

/// Copies `num_columns` columns from `column` on of a step's tokens. By one thread.
template <typename Config>
__device__ __forceinline__ void copy_columns(const Block<Config>& block, const CUtensorMap* map,
                                             int box_columns, int idx, int column, int num_columns,
                                             std::uint32_t to, std::uint32_t barrier) {
  const Step step = block.step(idx);
  const std::int32_t* pages = block.lists().pages[idx & (kRingSteps - 1)];
  const int box_bytes = block.args->box_tokens * 128;
  const int num_pages = step.facts.num_pages();
  ptx::arrive_and_expect(barrier, num_pages * box_bytes * num_columns);
#pragma unroll 1
  for (int i = 0; i < num_pages; ++i) {
#pragma unroll 1
    for (int c = 0; c < num_columns; c += box_columns) {
      ptx::copy_box(map, to + c * Config::kColumnBytes + i * box_bytes,
                    {{0, step.token_in_page, column + c, step.kv_head_idx, pages[i]}}, barrier);
    }
  }
}

/// Half a tile of keys into its stage, which nobody reads any more. By one thread.
template <typename Config>
__device__ __forceinline__ void load_half(const Block<Config>& block, int idx, int half) {
  const int stage = idx % Config::kStages;
  copy_columns(block, block.key_map, block.args->box_columns, idx, half * Config::kHalfColumns,
               Config::kHalfColumns, block.base + Shared<Config>::keys(stage, half),
               block.barriers().full(stage, half));
}

/// The tail column of a tile of keys, where nobody reads one any more. By one thread.
template <typename Config>
__device__ __forceinline__ void load_tail(const Block<Config>& block, int idx) {
  if constexpr (Config::kTailColumns > 0) {
    copy_columns(block, block.tail_map, 1, idx, Config::kValueColumns, Config::kTailColumns,
                 block.base + Shared<Config>::kTail, block.barriers().full_tail());
  }
}

/// Elements from the array's first to a row of an item: its rows are query tokens times heads.
__device__ __forceinline__ std::int64_t row_offset(const KernelArgs& args, const Item& item,
                                                   int row, const cuda::RowStrides& strides) {
  int token = 0;
  int head = 0;
  args.heads_per_kv(token, head, item.row_begin + row);
  head += item.kv_head_idx * args.heads_per_kv.divisor;
  return item.request_idx * strides.request + token * strides.token + head * strides.head;
}

/// Columns [first, last) of an item's queries to `to`, rows beyond the item's as zeros. By 128
/// threads, eight to the 128 bytes of a row in a column; done after ptx::wait_for_copies in each
/// and a barrier.
template <typename Config, typename Element>
__device__ __forceinline__ void copy_queries(const Block<Config>& block, const Item& item,
                                             int first, int last, std::uint32_t to) {
  const cuda::DecodeCall& call = block.args->call;
  const int chunk = threadIdx.x % 8;
  int row = threadIdx.x % 128 / 8;
  to += chunk_offset(row, chunk);
#pragma unroll 1  // few registers are free where this runs
  for (; row < kRows; row += 16, to += 16 * 128) {
    const bool is_valid = row < item.num_rows;
    const Element* from = static_cast<const Element*>(call.q) + first * 64 + chunk * 8;
    if (is_valid) from += row_offset(*block.args, item, row, call.q_strides);
#pragma unroll
    for (int column = 0; column < last - first; ++column) {
      ptx::copy_16_bytes(to + column * Config::kColumnBytes, from + column * 64, is_valid);
    }
  }
}

/// The queries that go to registers, through a query step's stage. By 128 threads.
template <typename Config, typename Element>
__device__ __forceinline__ void load_query_stage(const Block<Config>& block, const Item& item,
                                                 int stage) {
  copy_queries<Config, Element>(block, item, 0, Config::kRegisterColumns,
                                block.base + Shared<Config>::keys(stage, 0));
  if (ptx::thread() % 128 == 0) {  // nobody waits, but the stage's phases go on in step
    ptx::arrive(block.barriers().full(stage, 0));
    ptx::arrive(block.barriers().full(stage, 1));
  }
}

/// The queries that stay in shared memory. By 128 threads.
template <typename Config, typename Element>
__device__ __forceinline__ void load_shared_queries(const Block<Config>& block, const Item& item) {
  copy_queries<Config, Element>(block, item, Config::kRegisterColumns, Config::kColumns,
                                block.base + Shared<Config>::kQuery);
}

}  // namespace seesaw::sm90::decode_dense
