// The score warpgroup: S = Q K^T, the softmax, and everything that is decided once a tile. While
// the value warpgroups multiply tile i, it takes the softmax of tile i + 1 under the products of
// tile i + 2's scores; P of tile i + 1 waits in registers until tile i's has been read.
#pragma once

#include "hardware/sm90/decode_dense/list_steps.cuh"
#include "hardware/sm90/decode_dense/load.cuh"
#include "hardware/sm90/decode_dense/softmax.cuh"
#include "hardware/sm90/decode_dense/trace.cuh"
#include "hardware/sm90/ptx/wgmma.cuh"

namespace seesaw::sm90::decode_dense {

// Not of the first warp, which lists steps: the warpgroup waits for its slowest.
inline constexpr int kTailLoader = 32;

/// What a row's state comes to at the end of its item. Returns the factor that O is owed.
__device__ __forceinline__ float finish_row(const KernelArgs& args, const Item& item, int row,
                                            float m, float l) {
  const cuda::DecodeCall& call = args.call;
  if (item.slot_idx >= 0) {
    float* slot = call.slots + item.slot_idx * call.slot_stride + std::int64_t{kRows} * call.d_v;
    slot[row] = m;
    slot[kRows + row] = l;
    return 1;
  }
  const float lse_log2 = l == 0 ? INFINITY : m + log2f(l);
  if (row < item.num_rows && call.lse != nullptr) {
    constexpr float kLn2 = 0.693147180559945309f;
    call.lse[row_offset(args, item, row, call.lse_strides)] = lse_log2 * kLn2;
  }
  if (l == 0) return 0;
  float divisor = l;
  if (call.attn_sink != nullptr && row < item.num_rows) {
    constexpr float kLog2E = 1.44269504088896341f;
    const std::int64_t head = row_offset(args, item, row, {0, 0, call.attn_sink_stride});
    divisor *= 1 + exp2f(call.attn_sink[head] * kLog2E - lse_log2);
  }
  return 1 / divisor;
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

  /// Once in kFillSteps steps, at the second tile that follows a multiple of them: then the value
  /// warpgroups, too, have left the steps before that multiple, whose places are listed anew.
  __device__ __forceinline__ bool listing_is_due(int idx, StepFacts facts) const {
    return idx % kFillSteps >= 2 && tile_before(idx, facts) % kFillSteps < 2;
  }

  /// Everything before the first tile's softmax. What the first tile needs is asked for first: all
  /// blocks start together, and what each asks for last comes when all have been served.
  __device__ __forceinline__ void start() {
    load_query_stage<Config, Element>(block, 0);
    load_shared_queries<Config, Element>(block, 0);
    if (thread() == kTailLoader) load_tail(block, 1);
#pragma unroll 1
    for (int i = 1; i < Config::kStages; ++i) load_step(i);
    take_queries(0);
    multiply(1, 0, [] {});
    ptx::finish_products(s);
  }

  /// Queues the products of one tile of keys; tile_parity counts tiles of keys, idx steps. Queueing
  /// takes nearly as long as the products. `before_last` is done in its course, so early that what
  /// it starts finds the tensor cores free when these products end.
  template <typename BeforeLast>
  __device__ __forceinline__ void multiply(int idx, int tile_parity, BeforeLast&& before_last) {
    const int stage = idx % Config::kStages;
    const int parity = idx / Config::kStages & 1;
    // Known to be the same in all lanes, addresses stay in uniform registers.
    const std::uint32_t base = __shfl_sync(~0u, block.base, 0);
    const ptx::Operand keys = ptx::operand_along_k(
        base + Memory::keys(0, 0) + __shfl_sync(~0u, stage, 0) * 2 * Config::kHalfBytes);
    const ptx::Operand tail = ptx::operand_along_k(base + Memory::kTail);
    const ptx::Operand shared_query = ptx::operand_along_k(base + Memory::kQuery);
    const auto step_of = [&](int step, const ptx::Operand& k) {
      if (step < Config::kRegisterSteps) {
        ptx::multiply_scores<Element>(query + 4 * (step < Config::kRegisterSteps ? step : 0), k, s,
                                      step > 0);
      } else {
        const int shared_step = step - Config::kRegisterSteps;
        ptx::multiply_scores<Element>(
            shared_query.after(shared_step / 4 * Config::kColumnBytes + shared_step % 4 * 32), k, s,
            true);
      }
    };
    const auto key_step = [&](int step) {
      step_of(step, keys.after(step / 4 * Config::kColumnBytes + step % 4 * 32));
    };
    constexpr int kHalfSteps = 4 * Config::kHalfColumns;
    ptx::wait(barriers.full(stage, 0), parity);
    ptx::begin_products();
#pragma unroll
    for (int step = 0; step < kHalfSteps; ++step) key_step(step);
    ptx::wait(barriers.full(stage, 1), parity);
    ptx::begin_products();
#pragma unroll
    for (int step = kHalfSteps; step < Config::kEarlySteps; ++step) key_step(step);
    ptx::commit_products();
    before_last();
    ptx::begin_products();
#pragma unroll
    for (int step = Config::kEarlySteps; step < 2 * kHalfSteps; ++step) key_step(step);
    ptx::commit_products();
    if constexpr (Config::kTailColumns > 0) {
      ptx::wait(barriers.full_tail(), tile_parity);
      ptx::begin_products();
#pragma unroll
      for (int step = 2 * kHalfSteps; step < Config::kSteps; ++step) {
        step_of(step, tail.after(step % 4 * 32));
      }
      ptx::commit_products();
    }
  }

  /// Takes the queries that have come through step idx's stage, and hands the stage on.
  __device__ __forceinline__ void take_queries(int idx) {
    ptx::wait_for_copies();
    ptx::fence_async_proxy();  // products read the shared columns
    ptx::sync_warpgroup(kScoreBarrier);
    const std::uint32_t column = block.base + Memory::keys(idx % Config::kStages, 0);
    const int matrix_row = thread() / 32 * 16 + lane() % 16;
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
    const StepFacts facts = block.step(idx).facts;
    if (facts.has(kEnd)) return;
    if (facts.has(kQuery)) {
      load_query_stage<Config, Element>(block, idx);
    } else if (thread() == 0) {
      load_half(block, idx, 0);
      load_half(block, idx, 1);
    }
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

  /// This warp has finished a tile's products. At an item's end all wait for each other, for its
  /// queries give way to the next one's; else only the warp that loads the tail waits, later.
  __device__ __forceinline__ void leave_tile(bool is_last) {
    if (is_last) [[unlikely]] {
      ptx::sync_warpgroup(kScoreBarrier);
    } else if (Config::kTailColumns > 0 && thread() / 32 != kTailLoader / 32) {
      ptx::arrive_warpgroup(kScoreBarrier);
    }
  }

  /// Nobody arrives for the tile after next before this: its products wait for the tail.
  __device__ __forceinline__ void load_next_tail(bool is_last, int next) {
    if (Config::kTailColumns == 0 || thread() / 32 != kTailLoader / 32) return;
    if (!is_last) ptx::sync_warpgroup(kScoreBarrier);
    if (thread() == kTailLoader) load_tail(block, next);
  }

  /// Hands a tile's weights to the value warpgroups. They have read the tile before.
  __device__ __forceinline__ void publish(const std::uint32_t (&weights)[16]) {
    const int matrix_row = thread() / 32 * 16 + lane() % 16;
    const std::uint32_t to = block.base + Memory::kWeights + chunk_offset(matrix_row, lane() / 16);
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // 16 columns
      ptx::store_matrices(to ^ i * 32, weights + 4 * i);
    }
    ptx::fence_async_proxy();
    ptx::arrive(barriers.weights_ready());
  }
};

template <typename Config, typename Element>
__device__ __forceinline__ void run_score_warpgroup(const Block<Config>& block) {
  ScoreWarpgroup<Config, Element> self(block);
  const Barriers<Config> barriers = self.barriers;
  int num_tiles = 0;  // published
  if (!block.step(0).facts.has(kEnd)) {
    self.start();
    StepFacts facts = block.step(1).facts;
    for (int idx = 1;;) {
      const bool is_last = facts.has(kLastTile);
      const bool has_next = !is_last || !block.step(idx + 1).facts.has(kEnd);
      const int next = is_last ? idx + 2 : idx + 1;
      self.leave_tile(is_last);
      if (is_last && has_next) [[unlikely]] {
        load_shared_queries<Config, Element>(block, idx + 1);
      }
      if (facts.has(kMasked)) [[unlikely]]
        self.mask_tile(block.step(idx));
      std::uint32_t weights[16];
      self.weigh_tile(num_tiles & 1, weights);
      if (has_next) self.load_next_tail(is_last, next);
      mark(*block.args, TracePoint::kWeighed, num_tiles);

      const auto publish = [&] {
        if (num_tiles > 0) ptx::wait(barriers.weights_free(), num_tiles - 1 & 1);
        mark(*block.args, TracePoint::kWeightsFree, num_tiles);
        if (is_last) [[unlikely]]
          self.finish_item(block.step(idx));
        self.publish(weights);
        mark(*block.args, TracePoint::kPublished, num_tiles);
        ++num_tiles;
      };
      if (is_last) [[unlikely]] {
        publish();
        self.refill_with_queries(idx, facts, num_tiles);
        if (!has_next) return;
        self.take_queries(idx + 1);
      }
      if (self.listing_is_due(idx, facts) && self.thread() < 32) [[unlikely]] {
        list_steps(*block.args, block.rank, (idx / kFillSteps + 1) * kFillSteps, block.lists());
      }
      self.multiply(next, num_tiles + (is_last ? 0 : 1) & 1, [&] {
        if (!is_last) publish();
      });
      mark(*block.args, TracePoint::kQueued, num_tiles);
      if (!is_last) self.refill_with_queries(idx, facts, num_tiles);
      facts = block.step(next).facts;
      ptx::finish_products(self.s);
      mark(*block.args, TracePoint::kScoresDone, num_tiles);
      idx = next;
    }
  }
}

}  // namespace seesaw::sm90::decode_dense
