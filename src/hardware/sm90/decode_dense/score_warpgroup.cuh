// The score warpgroup: S = Q K^T, the softmax, and everything that is decided once a tile. While
// the value warpgroups multiply tile i, it takes the softmax of tile i + 1. P of tile i + 1 is
// handed over piece by piece between the products of tile i + 2's scores, which are queued ahead:
// so the tensor cores do not wait for it, and find it when these products end.
#pragma once

#include "hardware/sm90/decode_dense/epilogue.cuh"
#include "hardware/sm90/decode_dense/list_steps.cuh"
#include "hardware/sm90/decode_dense/load.cuh"
#include "hardware/sm90/decode_dense/softmax.cuh"
#include "hardware/sm90/decode_dense/trace.cuh"
#include "hardware/sm90/ptx/shared.cuh"
#include "hardware/sm90/ptx/wgmma.cuh"

namespace seesaw::sm90::decode_dense {

/// What a row's state comes to at the end of its item. Returns the factor that O is owed.
__device__ __forceinline__ float finish_row(const KernelArgs& args, const Item& item, int row,
                                            float m, float l) {
  if (item.slot_idx >= 0) {
    write_state(args.call, item.slot_idx, row, m, l);
    return 1;
  }
  write_lse(args, item, row, m, l);
  return output_factor(args, item, row, m, l);
}

/// One tile's scores, of the whole warpgroup's threads; see run_score_warpgroup.
template <typename Config, typename Element>
struct ScoreWarpgroup {
  const Block<Config>& block;
  Barriers<Config> barriers;
  std::uint32_t query[Config::kRegisterSteps * 4];
  float s[32];
  RowPair state;

  using Memory = Shared<Config>;

  __device__ __forceinline__ explicit ScoreWarpgroup(const Block<Config>& of)
      : block(of), barriers(of.base) {}

  // Of this warpgroup, the block's first. Cheaper to ask again than to keep.
  __device__ __forceinline__ static int thread() { return threadIdx.x; }
  __device__ __forceinline__ static int lane() { return threadIdx.x % 32; }
  __device__ __forceinline__ static int row() {  // and row + 8
    return threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  }

  /// The step of the tile of keys before step idx's.
  __device__ __forceinline__ static int tile_before(int idx, StepFacts facts) {
    return idx - (facts.has(kFirstTile) ? 2 : 1);
  }

  /// Once in kFillSteps steps: step idx's tile is the first at or after the count-th of them.
  __device__ __forceinline__ static bool comes_to(int count, int idx, StepFacts facts) {
    return idx % kFillSteps >= count && tile_before(idx, facts) % kFillSteps < count;
  }

  /// Lists steps ahead when the value warpgroups, too, have left those whose places are listed
  /// anew. While the products run, for every warp waits for the slowest.
  __device__ __forceinline__ void list_ahead(int idx, StepFacts facts) {
    if (thread() >= 32 || idx % kFillSteps > 6) return;
    if (comes_to(2, idx, facts)) {
      list_steps(*block.args, block.rank, (idx / kFillSteps + 1) * kFillSteps, block.lists());
    } else if (comes_to(4, idx, facts)) {
      ptx::wait_for_copies();  // of what was listed two tiles ago
    }
  }

  /// Everything before the first tile's softmax. Once the queries are asked for, the value
  /// warpgroups ask for the keys: see load_first_keys.
  __device__ __forceinline__ void start() {
    load_query_stage<Config, Element>(block, 0);
    load_shared_queries<Config, Element>(block, 0);
    ptx::arrive_block(kWeightsReady);
#pragma unroll 1
    for (int i = 2; i < Config::kStages; ++i) load_queries_of(i);
    take_queries(0);
    multiply(1, 0, [](int) {});
    ptx::finish_products(s);
  }

  /// Queues the products of one tile of keys; tile_parity counts tiles of keys, idx steps. Queueing
  /// takes nearly as long as the products; `weave(step)` is called before each.
  template <typename Weave>
  __device__ __forceinline__ void multiply(int idx, int tile_parity, Weave&& weave) {
    const int stage = idx % Config::kStages;
    const int parity = idx / Config::kStages & 1;
    // Known to be the same in all lanes, addresses stay in uniform registers.
    const std::uint32_t base = __shfl_sync(~0u, block.base, 0);
    const ptx::Operand keys = ptx::operand_along_k(
        base + Memory::keys(0, 0) + __shfl_sync(~0u, stage, 0) * 2 * Config::kHalfBytes);
    const ptx::Operand tail = ptx::operand_along_k(base + Memory::kTail);
    const ptx::Operand shared_query = ptx::operand_along_k(base + Memory::kQuery);
    constexpr int kHalfSteps = 4 * Config::kHalfColumns;
    ptx::wait(barriers.full(stage, 0), parity);
    ptx::begin_products();
#pragma unroll
    for (int step = 0; step < Config::kSteps; ++step) {
      if (step == kHalfSteps) ptx::wait(barriers.full(stage, 1), parity);
      if (step == 2 * kHalfSteps) ptx::wait(barriers.full_tail(), tile_parity);
      weave(step);
      const ptx::Operand k = step < 2 * kHalfSteps
                                 ? keys.after(step / 4 * Config::kColumnBytes + step % 4 * 32)
                                 : tail.after(step % 4 * 32);
      if (step < Config::kRegisterSteps) {
        ptx::multiply_scores<Element>(query + 4 * (step < Config::kRegisterSteps ? step : 0), k, s,
                                      step > 0);
      } else {
        const int shared_step = step - Config::kRegisterSteps;
        ptx::multiply_scores<Element>(
            shared_query.after(shared_step / 4 * Config::kColumnBytes + shared_step % 4 * 32), k, s,
            true);
      }
    }
    ptx::commit_products();
  }

  /// Takes the queries that have come through step idx's stage, and hands the stage on.
  __device__ __forceinline__ void take_queries(int idx) {
    ptx::wait_for_copies();
    ptx::fence_async_proxy();  // products read the shared columns
    ptx::sync_warpgroup(kScoreBarrier);
    const std::uint32_t column = block.base + Memory::keys(idx % Config::kStages, 0);
    int matrix_row = thread() / 32 * 16 + lane() % 16;
    asm volatile("" : "+r"(matrix_row));  // or offsets made of it are kept, and registers spilled
#pragma unroll
    for (int step = 0; step < Config::kRegisterSteps; ++step) {
      std::uint32_t fragment[4];
      ptx::load_matrices(fragment, column + step / 4 * Config::kColumnBytes +
                                       chunk_offset(matrix_row, step % 4 * 2 + lane() / 16));
#pragma unroll
      for (int i = 0; i < 4; ++i) query[4 * step + i] = fragment[i];
    }
    ptx::sync_warpgroup(kScoreBarrier);  // every warp has its queries
    load_step(idx + Config::kStages);
    state = {};
  }

  /// Fills a stage that this warpgroup knows to be free.
  __device__ __forceinline__ void load_step(int idx) {
    load_queries_of(idx);
    if (thread() == 0 && !block.step(idx).facts.has(kQuery | kEnd)) {
      load_half(block, idx, 0);
      load_half(block, idx, 1);
    }
  }

  /// The same where the step is queries.
  __device__ __forceinline__ void load_queries_of(int idx) {
    if (block.step(idx).facts.has(kQuery)) load_query_stage<Config, Element>(block, idx);
  }

  __device__ __forceinline__ void mask_tile(const Step& step) {
    const Item& item = block.lists().items[step.facts.item_idx()];
    const GroupShape& shape = block.args->call.shape;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row_end = item.row_begin + row() + 8 * half + 1;
      mask(s, half, min(item.key_end, keys_of_rows(shape, item.s_k, row_end)) - step.token_begin);
    }
  }

  /// After step idx's weights have been handed over the value warpgroups have left the stage of the
  /// tile before. They refill it unless it is for queries.
  __device__ __forceinline__ void refill_with_queries(int idx, StepFacts facts, int num_published) {
    const int refill = tile_before(idx, facts) + Config::kStages;
    if (num_published > 1 && block.step(refill).facts.has(kQuery)) [[unlikely]] {
      load_query_stage<Config, Element>(block, refill);
    }
  }

  /// The factors that O is owed before this tile are written at once, to the buffer that the tile
  /// before the last one used.
  __device__ __forceinline__ void weigh_tile(int buffer, std::uint32_t (&weights)[16]) {
    float alpha[2];
    weigh<Element>(s, block.args->call.scale_log2, state, alpha, weights);
    if (lane() % 4 == 0) {
      block.factors().alpha[buffer][row()] = alpha[0];
      block.factors().alpha[buffer][row() + 8] = alpha[1];
    }
  }

  /// The factors that O is owed after the item's last tile.
  __device__ __forceinline__ void finish_item(const Step& step) {
    const Item& item = block.lists().items[step.facts.item_idx()];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float l = state.l[half];
      l += __shfl_xor_sync(~0u, l, 1);
      l += __shfl_xor_sync(~0u, l, 2);
      if (lane() % 4 == 0) {
        const int r = row() + 8 * half;
        block.factors().finish[r] = finish_row(*block.args, item, r, state.m[half], l);
      }
    }
  }

  /// This warp has finished a tile's products: they have read the tail.
  __device__ __forceinline__ void leave_tail() const {
    if (Config::kTailColumns > 0 && lane() == 0) ptx::arrive(barriers.tail_free());
  }

  /// Hands the weights of the block's tile-th tile to the value warpgroups, in kPieces pieces.
  static constexpr int kPieces = 7;
  __device__ __forceinline__ void publish(int piece, int tile,
                                          const std::uint32_t (&weights)[16]) const {
    if (piece == 0) {  // they have read the tile before
      if (tile > 0) ptx::sync_block(kWeightsFree);
      mark(*block.args, TracePoint::kWeightsFree, tile);
    } else if (piece < 5) {  // 16 columns
      const int matrix_row = thread() / 32 * 16 + lane() % 16;
      const std::uint32_t to =
          block.base + Memory::kWeights + chunk_offset(matrix_row, lane() / 16);
      ptx::store_matrices(to ^ (piece - 1) * 32, weights + 4 * (piece - 1));
    } else if (piece == 5) {
      ptx::fence_async_proxy();
    } else {
      ptx::arrive_block(kWeightsReady);
      mark(*block.args, TracePoint::kPublished, tile);
    }
  }
};

template <typename Config, typename Element>
__device__ __forceinline__ void run_score_warpgroup(const Block<Config>& block) {
  using Self = ScoreWarpgroup<Config, Element>;
  Self self(block);
  int num_tiles = 0;  // published
  if (!block.step(0).facts.has(kEnd)) {
    self.start();
    StepFacts facts = block.step(1).facts;
    for (int idx = 1;;) {
      self.leave_tail();
      const bool is_last = facts.has(kLastTile);
      const bool has_next = !is_last || !block.step(idx + 1).facts.has(kEnd);
      const int next = is_last ? idx + 2 : idx + 1;
      if (is_last && has_next) [[unlikely]] {
        ptx::sync_warpgroup(kScoreBarrier);  // all have read the queries
        load_shared_queries<Config, Element>(block, idx + 1);
      }
      if (facts.has(kMasked)) [[unlikely]]
        self.mask_tile(block.step(idx));
      std::uint32_t weights[16];
      self.weigh_tile(num_tiles & 1, weights);
      mark(*block.args, TracePoint::kWeighed, num_tiles);

      if (is_last) [[unlikely]] {
        self.publish(0, num_tiles, weights);
        self.finish_item(block.step(idx));
#pragma unroll
        for (int piece = 1; piece < Self::kPieces; ++piece) {
          self.publish(piece, num_tiles, weights);
        }
        self.refill_with_queries(idx, facts, num_tiles + 1);
        if (!has_next) return;
        self.take_queries(idx + 1);
      }
      self.multiply(next, num_tiles + 1 & 1, [&](int step) {
        const int at = step - Config::kPublishStep;
        if (!is_last && at >= 0 && at % 2 == 0 && at / 2 < Self::kPieces) {
          self.publish(at / 2, num_tiles, weights);
        }
      });
      ++num_tiles;
      mark(*block.args, TracePoint::kQueued, num_tiles);
      if (!is_last) self.refill_with_queries(idx, facts, num_tiles);
      self.list_ahead(idx, facts);
      facts = block.step(next).facts;
      ptx::finish_products(self.s);
      mark(*block.args, TracePoint::kScoresDone, num_tiles);
      idx = next;
    }
  }
}

}  // namespace seesaw::sm90::decode_dense
