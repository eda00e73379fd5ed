// A value warpgroup: O += P V for half of the columns. It refills the half tile that it has just
// finished: nobody else reads it then, for P came from its scores.
#pragma once

#include "hardware/sm90/decode_dense/epilogue.cuh"
#include "hardware/sm90/decode_dense/load.cuh"
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

template <typename Config, typename Element>
__device__ __forceinline__ void run_value_warpgroup(const Block<Config>& block, int half) {
  using Memory = Shared<Config>;
  const Barriers<Config> barriers = block.barriers();
  const Lists& lists = block.lists();
  const RowFactors& factors = block.factors();
  const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
  const int named_barrier = kValueBarrier + half;

  float o[Config::kOutputs];
  for (int count = 0;; ++count) {
    ptx::wait(barriers.weights_ready(), count & 1);
    const Message message = lists.message;
    if (message.flags & kEnd) break;
    const int keys = Memory::keys(message.step % Config::kStages, half);
    if (message.num_tokens < kTokens) {
      clear_tokens<Config>(block.memory + keys, message.num_tokens);
      ptx::fence_async_proxy();
      ptx::sync_warpgroup(named_barrier);
    }
    const bool is_first = message.flags & kFirstTile;
    const float alpha[2] = {factors.alpha[count & 1][row], factors.alpha[count & 1][row + 8]};
    if (!is_first && __any_sync(~0u, alpha[0] != 1 || alpha[1] != 1)) {
#pragma unroll
      for (int i = 0; i < Config::kOutputs; ++i) o[i] *= alpha[i / 2 % 2];
    }
    ptx::begin_products();
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
      ptx::multiply_values<Element>(
          ptx::operand_along_k(block.base + Memory::kWeights + step * 32),
          ptx::operand_along_n(block.base + keys + step * 2048, Config::kColumnBytes), o,
          !is_first || step > 0);
    }
    ptx::commit_products();
    ptx::finish_products(o);
    const float finish[2] = {factors.finish[row], factors.finish[row + 8]};
    ptx::arrive(barriers.weights_free());

    ptx::sync_warpgroup(named_barrier);  // every warp has read its part of the keys
    const int refill = message.step + Config::kStages;
    if (threadIdx.x % 128 == 0 && !(block.step(refill).flags & (kQuery | kEnd))) {
      load_half(block, refill, half);
    }
    if (message.flags & kLastTile) {
      write_output<Element>(*block.args, lists.items[message.item_idx],
                            half * Config::kHalfColumns * 64, o, finish);
    }
  }
}

}  // namespace seesaw::sm90::decode_dense
