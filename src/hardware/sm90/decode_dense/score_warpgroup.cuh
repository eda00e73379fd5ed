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

  /// About a tile of keys, and what the one before has left to be done while its products run. One
  /// number, for predicates that live that long are spilled.
  enum TileFlag : std::uint32_t {
    kOdd = 1,       // among the block's
    kLater = 2,     // than the block's first
    kHandOver = 4,  // the weights of the one before
    kList = 8,      // steps ahead
  };

  /// Once in kFillSteps steps, when the value warpgroups, too, have left those whose places are
  /// listed anew; which is so when step idx's weights have been handed over.
  __device__ __forceinline__ static bool lists_after(int idx, StepFacts facts) {
    return idx % kFillSteps >= 2 && tile_before(idx, facts) % kFillSteps < 2 &&
           idx % kFillSteps < 6;
  }

  /// By the first warp, while products run: all warps wait for these anyway. next: their step.
  __device__ __forceinline__ void list_ahead(std::uint32_t flags, int next) {
    if (ptx::thread() >= 32) return;
    ptx::wait_for_copies();  // of what was listed some tiles ago
    if ((flags & kList) == 0) return;
    list_steps(*block.args, block.rank, (next / kFillSteps + 1) * kFillSteps, block.lists());
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
    if (block.step(idx).facts.has(kQuery)) load_query_stage(idx);
  }

  __device__ __forceinline__ const Item& item_of(int idx) const {
    return block.lists().items[block.step(idx).facts.item_idx()];
  }
  __device__ __forceinline__ void load_query_stage(int idx) {
    decode_dense::load_query_stage<Config, Element>(block, item_of(idx), idx % Config::kStages);
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

  /// The step for which the stage of the tile before step idx's is filled again, once step idx's
  /// weights have been handed over. The value warpgroups do so unless it is for queries.
  __device__ __forceinline__ static int refilled_after(int idx, StepFacts facts) {
    return tile_before(idx, facts) + Config::kStages;
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
      if (ptx::thread() % 4 == 0) {
        const int r = row() + 8 * half;
        block.factors().finish[r] = finish_row(*block.args, item, r, state.m[half], l);
      }
    }
  }

  /// This warp has finished a tile's products: they have read the tail.
  __device__ __forceinline__ void leave_tail() const {
    if (Config::kTailColumns > 0 && lane() == 0) ptx::arrive(barriers.tail_free());
  }

  /// Hands the weights of a tile to the value warpgroups, in kPieces pieces.
  static constexpr int kPieces = 7;
  __device__ __forceinline__ void publish(int piece, bool is_later,
                                          const std::uint32_t (&weights)[16]) const {
    if (piece == 0) {  // they have read the tile before
      if (is_later) ptx::sync_block(kWeightsFree);
    } else if (piece < 5) {  // 16 columns
      const int matrix_row = thread() / 32 * 16 + lane() % 16;
      const std::uint32_t to =
          block.base + Memory::kWeights + chunk_offset(matrix_row, lane() / 16);
      ptx::store_matrices(to ^ (piece - 1) * 32, weights + 4 * (piece - 1));
    } else if (piece == 5) {
      ptx::fence_async_proxy();
    } else {
      ptx::arrive_block(kWeightsReady);
    }
  }
};

/// Asks for the first item's queries, while another warp makes the lists: cuts tell whose they are.
/// Before the keys, or queries would stand behind these in the queues of memory. By the warpgroup.
template <typename Config, typename Element>
__device__ __forceinline__ void load_first_queries(const Block<Config>& block, int group) {
  Cursor cursor = first_cursor(block.args->call, group);
  const Place place = next_place(block.args->call, block.rank, cursor);
  if (place.rows.begin == place.rows.end) return;
  const Item item{.request_idx = place.sequence.request_idx,
                  .kv_head_idx = place.sequence.kv_head_idx,
                  .row_begin = place.rows.begin,
                  .num_rows = place.rows.end - place.rows.begin};
  load_query_stage<Config, Element>(block, item, 0);
  load_shared_queries<Config, Element>(block, item);
}

template <typename Config, typename Element>
__device__ __forceinline__ void run_score_warpgroup(const Block<Config>& block) {
  using Self = ScoreWarpgroup<Config, Element>;
  if (block.step(0).facts.has(kEnd)) return;
  Self self(block);
#pragma unroll 1
  for (int i = 2; i < Config::kStages; ++i) self.load_queries_of(i);
  self.take_queries(0);
  std::uint32_t weights[16] = {};  // of the tile before
  std::uint32_t flags = 0;
  for (int idx = 1, count = 0;; ++count) {
    self.multiply(idx, flags & Self::kOdd, [&](int step) {
      const int at = step - Config::kPublishStep;
      if ((flags & Self::kHandOver) != 0 && at >= 0 && at % 2 == 0 && at / 2 < Self::kPieces) {
        self.publish(at / 2, true, weights);
        if (at == 0) mark(*block.args, TracePoint::kWeightsFree, count - 1);
        if (at / 2 == Self::kPieces - 1) mark(*block.args, TracePoint::kPublished, count - 1);
      }
    });
    mark(*block.args, TracePoint::kQueued, count);
    self.list_ahead(flags, idx);
    const StepFacts facts = block.step(idx).facts;
    ptx::finish_products(self.s);
    mark(*block.args, TracePoint::kScoresDone, count);

    self.leave_tail();
    const bool is_last = facts.has(kLastTile);
    const bool has_next = !is_last || !block.step(idx + 1).facts.has(kEnd);
    if (is_last && has_next) [[unlikely]] {
      ptx::sync_warpgroup(kScoreBarrier);  // all have read the queries
      load_shared_queries<Config, Element>(block, self.item_of(idx + 1));
    }
    if (facts.has(kMasked)) [[unlikely]]
      self.mask_tile(block.step(idx));
    self.weigh_tile(flags & Self::kOdd, weights);
    mark(*block.args, TracePoint::kWeighed, count);

    // At once, too, of the block's first tile: the next one's keys may come much later, and until
    // P V is done nothing is asked for in its place.
    const bool is_later = (flags & Self::kLater) != 0;
    const int refilled = Self::refilled_after(idx, facts);
    const bool is_refilled = is_later && block.step(refilled).facts.has(kQuery);
    flags = (~flags & Self::kOdd) | Self::kLater;  // of the next one
    if (Self::lists_after(idx, facts)) flags |= Self::kList;
    if (is_last || is_refilled || !is_later) [[unlikely]] {
      self.publish(0, is_later, weights);
      mark(*block.args, TracePoint::kWeightsFree, count);
      if (is_last) self.finish_item(block.step(idx));
#pragma unroll
      for (int piece = 1; piece < Self::kPieces; ++piece) self.publish(piece, true, weights);
      mark(*block.args, TracePoint::kPublished, count);
      if (is_refilled) self.load_query_stage(refilled);
      if (!has_next) return;
      if (is_last) self.take_queries(idx + 1);
#pragma unroll
      for (std::uint32_t& pair : weights) pair = 0;  // or they are kept over all that, and spilled
    } else {
      flags |= Self::kHandOver;
    }
    idx += is_last ? 2 : 1;
  }
}

}  // namespace seesaw::sm90::decode_dense
