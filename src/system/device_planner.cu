// The planner on the device: prefix sums of what the sequences cost, then every cut on its own by
// the functions of scheduling/group_cuts.h, a thread a cut.
#include "system/device_planner.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "hardware/cuda/dependent_launch.cuh"
#include "scheduling/group_cuts.h"

namespace seesaw::cuda {
namespace {

using scheduling::Cutter;
using scheduling::EvenShares;
using scheduling::LargestPiece;
using scheduling::SequenceRow;

constexpr int kWarp = 32;
constexpr int kWarps = 32;
constexpr int kThreads = kWarp * kWarps;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kNone = 0x7fffffff;
/// Prefix sums that fit the shared memory that every device gives without being asked.
constexpr int kMaxSharedSums = 5120;

struct PlannerArgs {
  CutRule rule;
  SequenceRow row;
  Cut* cuts = nullptr;                   // [num_ranges + 1]
  std::int32_t* first_ranges = nullptr;  // [num_groups + 1]
  std::int32_t* kv_lengths = nullptr;    // [b], the copy
  std::int32_t* arrivals = nullptr;      // [num_arrivals], zeros
  std::int32_t num_arrivals = 0;
  std::int64_t* scratch = nullptr;  // [num_sequences + 1]: sums that do not fit shared memory
};

struct BlockMemory {
  std::int64_t warp_totals[kWarps];
  int largest_piece;
};

/// The sum of the values of the lanes up to this one.
__device__ std::int64_t sum_to_lane(std::int64_t value) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const std::int64_t other = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

/// sums[i] = value(0) + .. + value(i - 1) for i in [0, count], by the whole block; returns the last
/// one. Each thread takes neighbouring values; they are read twice where that is more than one.
template <typename Value>
__device__ std::int64_t sum_up(std::int32_t count, std::int64_t* sums, BlockMemory& memory,
                               const Value& value) {
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t per_thread = count / kThreads + (count % kThreads != 0 ? 1 : 0);
  const std::int32_t begin =
      static_cast<std::int32_t>(min(std::int64_t{count}, std::int64_t{thread} * per_thread));
  const std::int32_t end = min(count - begin, per_thread) + begin;
  const std::int64_t first = begin < end ? value(begin) : 0;
  std::int64_t own = first;
#pragma unroll 4
  for (std::int32_t i = begin + 1; i < end; ++i) own += value(i);

  const std::int64_t to_lane = sum_to_lane(own);
  const int warp = thread / kWarp;
  if (thread % kWarp == kWarp - 1) memory.warp_totals[warp] = to_lane;
  __syncthreads();
  const std::int64_t to_warp = sum_to_lane(memory.warp_totals[thread % kWarp]);
  const std::int64_t total = __shfl_sync(kAllLanes, to_warp, kWarps - 1);
  const std::int64_t before_warp = __shfl_sync(kAllLanes, to_warp, max(warp - 1, 0));
  std::int64_t before = to_lane - own + (warp == 0 ? 0 : before_warp);
  if (begin < end) {
    sums[begin] = before;
    before += first;
#pragma unroll 4
    for (std::int32_t i = begin + 1; i < end; ++i) {
      sums[i] = before;
      before += value(i);
    }
  }
  if (thread == 0) sums[count] = total;
  __syncthreads();
  return total;
}

/// kSpread: the smallest size of the largest piece, a warp for each that may be it; kNone where
/// even shares are better. memory.largest_piece is kNone.
__device__ int find_largest_piece(const PlannerArgs& args, const std::int64_t* cost_sums,
                                  std::int64_t total_cost, BlockMemory& memory) {
  const GroupShape& shape = args.row.shape;
  const LargestPiece sizes(args.rule, shape, total_cost);
  int found = kNone;
#pragma unroll 1
  for (std::int32_t base = sizes.least; base <= sizes.most && found == kNone; base += kWarps) {
    const std::int32_t largest = base + static_cast<std::int32_t>(threadIdx.x) / kWarp;
    int num_pieces = 0;
    for (std::int32_t i = threadIdx.x % kWarp; i < args.row.size(); i += kWarp) {
      num_pieces += scheduling::num_spread_pieces_at(args.rule, cost_sums, i, largest);
    }
    num_pieces = __reduce_add_sync(kAllLanes, num_pieces);
    if (threadIdx.x % kWarp == 0 && largest <= sizes.most && num_pieces <= shape.num_groups) {
      atomicMin(&memory.largest_piece, largest);
    }
    __syncthreads();
    found = memory.largest_piece;
    __syncthreads();  // all have read it before the next sizes are tried
  }
  return found;
}

/// By the whole block: the prefix sums, and what the cuts need besides.
__device__ Cutter make_cutter(const PlannerArgs& args, std::int64_t* sums, BlockMemory& memory) {
  if (threadIdx.x == 0) memory.largest_piece = kNone;
  const SequenceRow& row = args.row;
  const std::int64_t total = sum_up(row.size(), sums, memory, [&](std::int32_t i) {
    return scheduling::sequence_cost(args.rule, row.blocks(i));
  });
  Cutter cutter;
  cutter.rule = args.rule;
  cutter.row = row;
  cutter.sums = sums;
  if (args.rule.kind == CutRule::Kind::kSpread) {
    const int largest = find_largest_piece(args, sums, total, memory);
    if (largest != kNone) {
      sum_up(row.size(), sums, memory, [&](std::int32_t i) -> std::int64_t {
        return scheduling::num_spread_pieces(args.rule, row.blocks(i), largest);
      });
      return cutter;
    }
    cutter.rule.kind = CutRule::Kind::kFlow;
  }
  cutter.shares = EvenShares(total, row.shape.num_groups);
  return cutter;
}

/// kSharedSums: the prefix sums fit shared memory. Blocks but the first only take part in the cuts
/// of kPieces, which need no sums.
template <bool kSharedSums>
__global__ void __launch_bounds__(kThreads, 1)
    plan_groups(const __grid_constant__ PlannerArgs args) {
  __shared__ std::int64_t shared_sums[kSharedSums ? kMaxSharedSums : 1];
  __shared__ BlockMemory memory;
  wait_for_previous_kernel();
  let_next_kernel_start();

  const GroupShape& shape = args.row.shape;
  const std::int64_t num_threads = std::int64_t{gridDim.x} * kThreads;
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = thread; i < shape.batch; i += num_threads) {
    args.kv_lengths[i] = max(args.row.kv_lengths[i * args.row.stride], 0);
  }
  for (std::int64_t i = thread; i < args.num_arrivals; i += num_threads) args.arrivals[i] = 0;
  Cutter cutter;
  cutter.rule = args.rule;
  cutter.row = args.row;
  if (blockIdx.x == 0) {
    cutter = make_cutter(args, kSharedSums ? shared_sums : args.scratch, memory);
    for (std::int32_t i = threadIdx.x; i <= shape.num_groups; i += kThreads) {
      args.first_ranges[i] = cutter.first_range(i);
    }
  }
  for (std::int64_t i = thread; i <= shape.num_ranges; i += num_threads) {
    args.cuts[i] = cutter.cut(static_cast<std::int32_t>(i));
  }
}

/// Blocks of the grid: one, but where fixed pieces make many ranges.
unsigned num_blocks(const GroupPlan& plan) {
  constexpr std::int64_t kRangesPerBlock = 4 * kThreads;
  constexpr std::int64_t kMaxBlocks = 64;
  if (plan.rule.kind != CutRule::Kind::kPieces) return 1;
  return static_cast<unsigned>(
      std::clamp<std::int64_t>(plan.shape.num_ranges / kRangesPerBlock, 1, kMaxBlocks));
}

}  // namespace

Status launch_planner(const GroupPlan& plan, const std::int32_t* kv_lengths, std::int64_t stride,
                      std::byte* workspace, StreamHandle stream) {
  if (plan.shape.batch == 0) return Status::ok();
  PlannerArgs args;
  args.rule = plan.rule;
  args.row = {plan.shape, kv_lengths, stride};
  args.cuts = reinterpret_cast<Cut*>(workspace + plan.cuts_offset);
  args.first_ranges = reinterpret_cast<std::int32_t*>(workspace + plan.first_ranges_offset);
  args.kv_lengths = reinterpret_cast<std::int32_t*>(workspace + plan.kv_lengths_offset);
  args.arrivals = reinterpret_cast<std::int32_t*>(workspace + plan.arrivals_offset);
  args.num_arrivals = static_cast<std::int32_t>(plan.num_arrivals());
  args.scratch = reinterpret_cast<std::int64_t*>(workspace + plan.scratch_offset);
  const LaunchShape shape{.grid = dim3(num_blocks(plan)), .block = dim3(kThreads)};
  if (plan.shape.num_sequences() < kMaxSharedSums) {
    return launch_dependent<plan_groups<true>>("plan_groups", shape, stream, args);
  }
  return launch_dependent<plan_groups<false>>("plan_groups", shape, stream, args);
}

}  // namespace seesaw::cuda
