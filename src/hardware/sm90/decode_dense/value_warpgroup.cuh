// A value warpgroup: O += P V for half of the columns. It refills the half tile that it has just
// finished: nobody else reads it then, for P came from its scores. The second one asks for the tail
// columns, too.
#pragma once

#include "hardware/sm90/decode_dense/epilogue.cuh"
#include "hardware/sm90/decode_dense/load.cuh"
#include "hardware/sm90/decode_dense/merge_pieces.cuh"
#include "hardware/sm90/decode_dense/trace.cuh"
#include "hardware/sm90/ptx/wgmma.cuh"

namespace seesaw::sm90::decode_dense {

/// Rows of a half tile from `first` on become zeros: no token has written them, and 0 * NaN would
/// stay. By a warpgroup.
template <typename Config>
__device__ __forceinline__ void clear_tokens(unsigned char* half_tile, int first) {
  const int chunk = threadIdx.x % 8;
  for (int row = first + threadIdx.x % 128 / 8; row < kTokens; row += 16) {
#pragma unroll
    for (int column = 0; column < Config::kHalfColumns; ++column) {
      *reinterpret_cast<uint4*>(half_tile + column * Config::kColumnBytes + row * 128 +
                                chunk * 16) = make_uint4(0, 0, 0, 0);
    }
  }
}

/// The step of the tile of keys after step idx's; of an end if there is none.
template <typename Config>
__device__ __forceinline__ int tile_after(const Block<Config>& block, int idx) {
  if (!block.step(idx).facts.has(kLastTile)) return idx + 1;
  return block.step(idx + 1).facts.has(kEnd) ? idx + 1 : idx + 2;
}

/// The tail of the tile after step idx's, which is the count-th, once that one's scores have read
/// theirs. By one thread.
template <typename Config>
__device__ __forceinline__ void replace_tail(const Block<Config>& block, int idx, int count) {
  if (Config::kTailColumns == 0 || block.step(idx).facts.has(kEnd)) return;
  const int next = tile_after(block, idx);
  if (block.step(next).facts.has(kEnd)) return;
  ptx::wait(block.barriers().tail_free(), count & 1);
  load_tail(block, next);
}

/// A half of the tiles that the stages hold when the block starts; the first queries are in stage 0
/// and have been asked for. What the first tile needs is asked for first: all blocks start
/// together, and what each asks for last comes when all have been served. By one thread.
template <typename Config>
__device__ __forceinline__ void load_first_keys(const Block<Config>& block, int half) {
  if (half == 1) load_tail(block, 1);
#pragma unroll 1
  for (int idx = 1; idx < Config::kStages; ++idx) {
    if (!block.step(idx).facts.has(kQuery | kEnd)) load_half(block, idx, half);
  }
  if (half == 1) replace_tail(block, 1, 0);
}

template <typename Config, typename Element, bool kMergesPieces>
__device__ __forceinline__ void run_value_warpgroup(const Block<Config>& block, int half) {
  using Memory = Shared<Config>;
  const RowFactors& factors = block.factors();

  float o[Config::kOutputs];
#if __CUDACC_VER_MAJOR__ == 12 && __CUDACC_VER_MINOR__ < 9
  // CUDA 12.8's ptxas waits for each product where they add to what was never written.
#pragma unroll
  for (float& x : o) x = 0;
#endif
  if (block.step(0).facts.has(kEnd)) return;
  if (threadIdx.x % 128 == 0) load_first_keys(block, half);
  int idx = 1;
  for (int count = 0;; ++count) {
    // What follows from it is not kept from tile to tile: few registers are free beside O.
    const int thread = ptx::thread();
    const int row = thread % 128 / 32 * 16 + thread % 32 / 4;
    const int named_barrier = kValueBarrier - 1 + thread / 128;
    // Read now: once the weights are free, other steps may be listed there.
    const StepFacts facts = block.step(idx).facts;
    const bool is_end = facts.has(kLastTile) && block.step(idx + 1).facts.has(kEnd);
    const int keys = Memory::keys(idx % Config::kStages, half);
    const std::uint32_t base = __shfl_sync(~0u, block.base, 0);
    const ptx::Operand weights = ptx::operand_along_k(base + Memory::kWeights);
    const ptx::Operand values =
        ptx::operand_along_n(base + __shfl_sync(~0u, keys, 0), Config::kColumnBytes);

    ptx::sync_block(kWeightsReady);
    mark(*block.args, TracePoint::kWeightsReady, count);
    if (facts.num_tokens() < kTokens) [[unlikely]] {
      clear_tokens<Config>(block.memory + keys, facts.num_tokens());
      ptx::fence_async_proxy();
      ptx::sync_warpgroup(named_barrier);
    }
    const bool is_first = facts.has(kFirstTile);
    const float alpha[2] = {factors.alpha[count & 1][row], factors.alpha[count & 1][row + 8]};
    if (!is_first && __any_sync(~0u, alpha[0] != 1 || alpha[1] != 1)) [[unlikely]] {
#pragma unroll
      for (int i = 0; i < Config::kOutputs; ++i) o[i] *= alpha[i / 2 % 2];
    }
    ptx::begin_products();
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
      ptx::multiply_values<Element>(weights.after(step * 32), values.after(step * 2048), o,
                                    !is_first || step > 0);
    }
    ptx::commit_products();
    mark(*block.args, TracePoint::kValuesQueued, count);
    if (half == 1 && threadIdx.x % 128 == 0) {
      replace_tail(block, tile_after(block, idx), count + 1);  // its scores come about now
    }
    ptx::finish_products(o);
    mark(*block.args, TracePoint::kValuesDone, count);
    const float finish[2] = {factors.finish[row], factors.finish[row + 8]};
    ptx::arrive_block(kWeightsFree);
    ptx::sync_warpgroup(named_barrier);  // every warp has read its part of the keys
    const int refill = idx + Config::kStages;
    if (threadIdx.x % 128 == 0 && !block.step(refill).facts.has(kQuery | kEnd)) {
      load_half(block, refill, half);
    }
    mark(*block.args, TracePoint::kRefilled, count);
    if (facts.has(kLastTile)) {
      const Item& item = block.lists().items[facts.item_idx()];
      if (kMergesPieces && is_end && item.slot_idx >= 0) {
        ptx::sync_two_warpgroups(kMergeBarrier);  // the other half is not read any more, either
        OutputTile<Config>(block).put(o, half);
        break;
      }
      write_output<Element>(*block.args, item, item.slot_idx, half * Config::kHalfColumns * 64, o,
                            finish);
      if (is_end) break;
      if (kMergesPieces && item.slot_idx >= 0) count_first_piece(block);
      ++idx;  // over the next item's queries
    }
    ++idx;
  }
  if constexpr (kMergesPieces) {
    end_pieces<Config, Element>(block, block.lists().items[block.step(idx).facts.item_idx()]);
  }
}

}  // namespace seesaw::sm90::decode_dense
