// Merges the pieces of split sequences: docs/kernels/combine.md.
//
// A block takes a row and some or all of its columns; its warps share the pieces, a run of them
// each at a time, and all loads of a run are in flight at once.
//
// What a block has to do is known before the decode kernel has ended: the cuts were written before
// that kernel began, so they are read, and everything that follows from them is computed, before
// the wait (dependent_launch.cuh says why that is allowed). Behind the wait are only the slots and
// the output.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/cuda/row_output.cuh"
#include "hardware/cuda/split_row.cuh"

namespace seesaw::cuda {
namespace {

constexpr int kMaxWarps = 17;  // of a block: 136 pieces at once, more than Hopper has SMs
constexpr int kMaxThreads = kMaxWarps * kWarp;
constexpr int kWarpsOnWorker = 32;  // that a multiprocessor holds at once: 64 registers a thread
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kBoundWarps = kMaxWarps;  // there, and where columns are loaded one by one, it takes
constexpr int kUnalignedBoundWarps = kMaxWarps;  // more registers
#else
constexpr int kBoundWarps = kWarpsOnWorker;
constexpr int kUnalignedBoundWarps = 28;
#endif

/// The grid, the same for any lengths. x: rows of a sequence, of which a block may take several.
/// y: sequences, or where those are more, ranges; more than a grid is high take turns. z: groups of
/// column parts.
struct MergeGrid {
  bool by_range = false;
  std::uint32_t height = 1;         // sequences or ranges
  std::int32_t num_rows = 1;        // of all ranks
  std::int32_t num_tile_rows = 1;   // of a rank
  std::int32_t num_part_warps = 1;  // column parts of a block
  std::int32_t num_run_warps = 1;   // that share the pieces; each column part has so many
  std::int32_t num_waits = 1;       // start_after_previous()
};

// ------------------------------------------------------------------------- which pieces there are

/// The sequence of which the first of several pieces lies in that range; where there is none, one
/// of no ranges. By a whole warp.
__device__ SplitSequence split_from_range(const DecodeCall& call, std::uint32_t range_idx) {
  const unsigned lane = threadIdx.x % kWarp;
  const Cut here = load_cut(call, range_idx + lane);
  const auto cut_of = [&](int other) -> Cut {
    return {__shfl_sync(kAllLanes, here.sequence_idx, other),
            __shfl_sync(kAllLanes, here.block_idx, other)};
  };
  const Cut begin = cut_of(0);
  const Cut end = cut_of(1);
  if (!begins_split_sequence(begin, end)) return {};
  // Its last piece's range is the one whose end is the first cut in another sequence.
  unsigned others = __ballot_sync(kAllLanes, lane > 1 && here.sequence_idx != end.sequence_idx);
  std::uint32_t base = range_idx;
#pragma unroll 1
  while (others == 0) {
    base += kWarp;
    const Cut cut = load_cut(call, base + lane);
    others = __ballot_sync(kAllLanes, cut.sequence_idx != end.sequence_idx);
  }
  return {end.sequence_idx, range_idx,
          static_cast<std::int32_t>(base - range_idx) + __ffs(static_cast<int>(others)) - 1};
}

/// Ranges [begin, begin + size), in the last of which that does not begin after it a place lies.
struct Search {
  std::uint32_t begin;
  std::uint32_t size;

  /// Of cuts `step` apart, so many do not come after the place.
  __device__ void narrow(std::uint32_t step, int num_before) {
    const std::uint32_t skipped = static_cast<std::uint32_t>(num_before - 1) * step;
    begin += skipped;
    size = min(step, size - skipped);
  }
  /// To the one range.
  __device__ void finish(const DecodeCall& call, const Cut& place) {
#pragma unroll 1
    while (size > 1) {
      const std::uint32_t step = (size - 1) / kWarp + 1;
      const Cut cut = load_cut(call, begin + threadIdx.x % kWarp * step);
      narrow(step, __popc(__ballot_sync(kAllLanes, cut <= place)));
    }
  }
};

/// The sequence with the ranges that it touches; whole where that is one. By a whole warp: no warp
/// waits for another, and the cuts of all ranges of a Hopper GPU come in one latency.
__device__ SplitSequence split_of_sequence(const DecodeCall& call, std::int32_t sequence_idx) {
  constexpr int kCutsPerLane = 5;
  const Cut first_place{sequence_idx, 0};
  const Cut last_place{sequence_idx, INT32_MAX};
  const auto num_ranges = static_cast<std::uint32_t>(call.shape.num_ranges);
  const std::uint32_t step = (num_ranges - 1) / (kCutsPerLane * kWarp) + 1;
  Cut cuts[kCutsPerLane];
#pragma unroll
  for (int i = 0; i < kCutsPerLane; ++i) {
    cuts[i] = load_cut(call, (threadIdx.x % kWarp + i * kWarp) * step);
  }
  int num_before_first = 0;
  int num_before_last = 0;
#pragma unroll
  for (int i = 0; i < kCutsPerLane; ++i) {
    num_before_first += __popc(__ballot_sync(kAllLanes, cuts[i] <= first_place));
    num_before_last += __popc(__ballot_sync(kAllLanes, cuts[i] <= last_place));
  }
  Search first{0, num_ranges};
  Search last{0, num_ranges};
  first.narrow(step, num_before_first);
  last.narrow(step, num_before_last);
  first.finish(call, first_place);
  last.finish(call, last_place);
  return {sequence_idx, first.begin, static_cast<std::int32_t>(last.begin - first.begin) + 1};
}

// ------------------------------------------------------------------------------------ their sum

/// What the warps of a block give each other.
struct BlockSums {
  float m_log2[kMaxThreads];  // of the first pieces
  float l[kMaxThreads];
  float late_m_log2[kMaxWarps][kRunPieces];  // of a warp's run, where not among those
  float4 runs[kMaxWarps][kWarp];
  float sink;
};

/// In a loop of as many turns as the host says, one: a compiler moves behind a wait what needs not
/// be before it, but not behind a loop.
__device__ void start_after_previous(int num_waits) {
#pragma unroll 1
  for (int i = 0; i < num_waits; ++i) {
    wait_for_previous_kernel();
    let_next_kernel_start();
  }
}

/// The sum over a run. The lane k has m of the piece whose o is o[k].
__device__ float4 sum_run(float m_of_lane, float max_log2, const float4 (&o)[kRunPieces]) {
  const float lane_weight = weight(m_of_lane, max_log2);
  float4 sum{};
#pragma unroll
  for (int k = 0; k < kRunPieces; ++k) {
    // Its o, read before its weight was known, may be anything where the weight is 0.
    const float piece_weight = __shfl_sync(kAllLanes, lane_weight, k);
    add_weighted(sum, piece_weight, piece_weight != 0 ? o[k] : float4{});
  }
  return sum;
}

/// A row of a rank, and the column parts that the block has warps for. By all threads, thread i of
/// which brings the state of piece i. Of each column part, warp `run` takes every num_run_warps-th
/// run. Its loads do not wait for the weights, which need the maximum of all pieces, nor for what
/// tells which of them count.
template <typename Out, bool kAligned>
__device__ void merge_row(const DecodeCall& call, const MergeGrid& grid, const SplitSequence& split,
                          int rank, int row_in_tile, BlockSums& shared) {
  const Sequence sequence = sequence_at(call.shape, split.sequence_idx);
  const RowRange rows = rows_of_rank(call.shape, sequence, rank);
  if (rows.begin + row_in_tile >= rows.end) return;

  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const int part_warp = warp / grid.num_run_warps;
  const int run = warp - part_warp * grid.num_run_warps;
  const int part = static_cast<int>(blockIdx.z) * grid.num_part_warps + part_warp;
  const int column = part * kWarpColumns + 4 * lane;
  const SplitRow row(call, split, rank, row_in_tile);
  const OutputRow output(call, sequence, rows.begin + row_in_tile);
  OutputColumns<Out> columns = output.columns<Out>();  // from this lane's on
  columns.out += column;
  columns.d_v -= column;
  const float* const sink_at = output.sink();
  if (sink_at != nullptr && thread == 0) shared.sink = load_before_wait(sink_at);

  const int num_runs = (row.num_pieces() + kRunPieces - 1) / kRunPieces;
  int first_piece = run * kRunPieces;  // of the warp's run
  const float* line = row.line(first_piece) + column;
  float4 o[kRunPieces];
  const auto load_run = [&] {
    const int num_pieces = columns.d_v > 0 ? row.num_pieces() - first_piece : 0;
#pragma unroll
    for (int k = 0; k < kRunPieces; ++k) {
      const float* const at = line + k * row.piece_stride() + (k == 0 ? row.shift(first_piece) : 0);
      o[k] = k < num_pieces ? load_columns<kAligned>(at, column, call.d_v) : float4{};
    }
  };

  start_after_previous(grid.num_waits);
  PieceState whole;
  const bool is_long = row.num_pieces() > static_cast<int>(blockDim.x);  // the block reads it twice
  if (is_long) {
    whole = merge_states(row.num_pieces(), [&](int i) { return row.stored_state(i).state(); });
  }
  load_run();
  // Behind the run's loads, for the compiler would put the wait for these before the last of those.
  const PieceState own = row.stored_state(thread).state();
  shared.m_log2[thread] = own.m_log2;
  shared.l[thread] = own.l;
  __syncthreads();
  if (!is_long) {
    whole = merge_states(row.num_pieces(), [&](int i) -> PieceState {
      return {shared.m_log2[i], shared.l[i]};
    });
  }
  const float* m_of_run = shared.m_log2 + first_piece;
  float4 sum{};
#pragma unroll 1
  for (int round = 0; true; round += grid.num_run_warps) {
    const float4 run_sum = sum_run(m_of_run[lane % kRunPieces], whole.m_log2, o);
    if (grid.num_run_warps == 1) {
      add(sum, run_sum);
    } else {
      shared.runs[warp][lane] = run_sum;
      __syncthreads();
      const int num_sums = run == 0 ? min(grid.num_run_warps, num_runs - round) : 0;
      for (int i = 0; i < num_sums; ++i) add(sum, shared.runs[warp + i][lane]);
    }
    if (round + grid.num_run_warps >= num_runs) break;
    first_piece += grid.num_run_warps * kRunPieces;
    line += grid.num_run_warps * kRunPieces * row.piece_stride();
    m_of_run += grid.num_run_warps * kRunPieces;
    if (is_long) {
      m_of_run = shared.late_m_log2[warp];
      __syncwarp();  // the last ones have been read
      const PieceState late = row.stored_state(first_piece + lane % kRunPieces).state();
      if (lane < kRunPieces) shared.late_m_log2[warp][lane] = late.m_log2;
      __syncwarp();
    }
    load_run();
    if (grid.num_run_warps > 1) __syncthreads();  // the last sums have been read
  }
  if (run != 0) return;
  const RowResult result = output.finish(whole.m_log2, whole.l, shared.sink);
  if (column == 0) output.store_lse(result.lse);
  columns.store(0, result.o_factor != 0 ? sum : float4{}, result.o_factor);
}

template <typename Out, bool kAligned>
__global__ void __launch_bounds__(kWarp*(kAligned ? kBoundWarps : kUnalignedBoundWarps), 1)
    merge_pieces(const __grid_constant__ DecodeCall call, const __grid_constant__ MergeGrid grid) {
  __shared__ BlockSums shared;
#pragma unroll 1
  for (std::uint32_t y = blockIdx.y; y < grid.height; y += gridDim.y) {
    const SplitSequence split = grid.by_range
                                    ? split_from_range(call, y)
                                    : split_of_sequence(call, static_cast<std::int32_t>(y));
    if (split.num_ranges < 2) continue;
#pragma unroll 1
    for (int i = static_cast<int>(blockIdx.x); i < grid.num_rows;
         i += static_cast<int>(gridDim.x)) {
      const int rank = i / grid.num_tile_rows;
      merge_row<Out, kAligned>(call, grid, split, rank, i - rank * grid.num_tile_rows, shared);
      __syncthreads();  // before the next row's states and sums overwrite these
    }
  }
  start_after_previous(grid.num_waits);  // who had nothing to merge has not waited
}

// ----------------------------------------------------------------------------------------- launch

constexpr std::int64_t kBlockWarps = 8;  // more only for more runs than that
constexpr std::int64_t kMostRows = 8;  // of a block: one sequence may be all that there is to merge
constexpr std::int64_t kMaxGridY = 65535;

constexpr std::int64_t ceil_div(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

/// How many pieces of a sequence to be ready for at once; any number is merged.
std::int64_t expected_pieces(const GroupShape& shape) {
  const std::int64_t num_sequences = shape.num_sequences();
  const std::int64_t mean = shape.num_ranges / num_sequences;
  // Fixed pieces are no more than that; else sequences of several lengths share the ranges.
  if (num_sequences == 1 || shape.num_ranges != shape.num_groups) return mean;
  return 2 * mean;
}

/// All blocks on the device at once where that can be: else warps take several runs one after the
/// other, then blocks several rows.
MergeGrid choose_grid(const DecodeCall& call, LaunchShape& launch_shape) {
  const GroupShape& shape = call.shape;
  const std::int64_t num_sequences = shape.num_sequences();
  const std::int64_t height = std::min<std::int64_t>(shape.num_ranges, num_sequences);
  const std::int64_t num_tile_rows = std::min(shape.rows_per_tile, shape.num_rows());
  const std::int64_t num_rows = shape.group_size * num_tile_rows;
  const std::int64_t num_workers = std::int64_t{shape.num_groups} * shape.group_size;
  const std::int64_t num_parts = ceil_div(call.d_v, kWarpColumns);
  const std::int64_t num_runs =
      std::clamp<std::int64_t>(ceil_div(expected_pieces(shape), kRunPieces), 1, kMaxWarps);

  std::int64_t run_warps = 0;
  std::int64_t part_warps = 0;
  std::int64_t num_groups = 0;
  std::int64_t waves = 0;
  for (std::int64_t rounds = 1; rounds == 1 || (waves > 1 && run_warps > 1); ++rounds) {
    run_warps = ceil_div(num_runs, rounds);
    num_groups =
        ceil_div(num_parts, std::clamp<std::int64_t>(kBlockWarps / run_warps, 1, num_parts));
    part_warps = ceil_div(num_parts, num_groups);
    const std::int64_t capacity = num_workers * (kWarpsOnWorker / (part_warps * run_warps));
    waves = ceil_div(height * num_rows * num_groups, capacity);
  }
  launch_shape.grid.x = static_cast<unsigned>(ceil_div(num_rows, std::min(waves, kMostRows)));
  launch_shape.grid.y = static_cast<unsigned>(std::min(height, kMaxGridY));
  launch_shape.grid.z = static_cast<unsigned>(num_groups);
  launch_shape.block.x = static_cast<unsigned>(kWarp * part_warps * run_warps);
  return {.by_range = shape.num_ranges < num_sequences,
          .height = static_cast<std::uint32_t>(height),
          .num_rows = static_cast<std::int32_t>(num_rows),
          .num_tile_rows = static_cast<std::int32_t>(num_tile_rows),
          .num_part_warps = static_cast<std::int32_t>(part_warps),
          .num_run_warps = static_cast<std::int32_t>(run_warps)};
}

bool are_slots_aligned(const DecodeCall& call) {
  return call.d_v % 4 == 0 && call.slot_stride % 4 == 0 &&
         reinterpret_cast<std::uintptr_t>(call.slots) % sizeof(float4) == 0;
}

template <typename Out, bool kAligned>
Status launch(const DecodeCall& call, StreamHandle stream) {
  LaunchShape launch_shape;
  const MergeGrid grid = choose_grid(call, launch_shape);
  return launch_dependent<merge_pieces<Out, kAligned>>("merge_pieces", launch_shape, stream, call,
                                                       grid);
}

template <typename Out>
Status launch(const DecodeCall& call, StreamHandle stream) {
  return are_slots_aligned(call) ? launch<Out, true>(call, stream)
                                 : launch<Out, false>(call, stream);
}

}  // namespace

Status launch_combine(const DecodeCall& call, StreamHandle stream) {
  const GroupShape& shape = call.shape;
  if (shape.num_sequences() == 0 || shape.num_rows() == 0 || shape.num_ranges < 2) {
    return Status::ok();
  }
  switch (call.out_dtype) {
    case DType::kFloat32:
      return launch<float>(call, stream);
    case DType::kBFloat16:
      return launch<__nv_bfloat16>(call, stream);
    case DType::kFloat16:
      return launch<__half>(call, stream);
    default:
      return {StatusCode::kInternal, "combine: out_dtype is " +
                                         std::string(to_string(call.out_dtype)) +
                                         ", must be a floating-point type of 16 or 32 bits"};
  }
}

}  // namespace seesaw::cuda
