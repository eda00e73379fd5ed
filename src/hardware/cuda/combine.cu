// Merges the pieces of split sequences: docs/kernels/combine.md.
//
// Where there is room on the device, a block takes a row and some or all of its columns; its warps
// share the pieces, a run of eight each at a time. Where there are too many rows for that, a warp
// takes four column parts by itself, all of a row of 512 columns, and two pieces at a time. Either
// way a lane has eight loads in flight at once.
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
#include <type_traits>

#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/cuda/row_output.cuh"
#include "hardware/cuda/split_row.cuh"
#include "hardware/cuda/split_sequence.cuh"

namespace seesaw::cuda {
namespace {

constexpr int kMaxWarps = 17;  // of a block: 136 pieces at once, more than Hopper has SMs
constexpr int kLoneWarps = 4;  // of a block whose warps wait for no other
constexpr int kLoneParts = 4;  // that such a warp takes: all of a row of 512 columns
constexpr int kMaxThreads = kMaxWarps * kWarp;

/// Warps that a Hopper multiprocessor holds at once: of 80 registers a thread, or of 64.
constexpr int warps_on_worker(bool are_lone) { return are_lone ? 24 : 32; }

/// Those that registers are to be left for. More are needed on sm_80, and where columns that are
/// not aligned are loaded one by one.
constexpr int bound_warps([[maybe_unused]] bool is_aligned, [[maybe_unused]] bool are_lone) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  return kMaxWarps;
#else
  return is_aligned ? warps_on_worker(are_lone) : 28;
#endif
}

/// The grid, the same for any lengths. x: rows of a sequence, of which a block may take several,
/// side by side and one after the other. y: sequences, or where those are more, ranges; more than a
/// grid is high take turns. z: groups of column parts.
struct MergeGrid {
  bool by_range = false;
  std::uint32_t height = 1;         // sequences or ranges
  std::int32_t num_rows = 1;        // of all ranks
  std::int32_t num_tile_rows = 1;   // of a rank
  std::int32_t num_row_warps = 1;   // rows side by side
  std::int32_t num_part_warps = 1;  // of a row, a column part or kLoneParts each
  std::int32_t num_run_warps = 1;   // that share the pieces; each column part has so many
  std::int32_t num_waits = 1;       // start_after_previous()
};

// ------------------------------------------------------------------------------------ their sum

/// What the warps of a block give each other.
struct BlockSums {
  float m_log2[kMaxThreads];  // of the first pieces
  float l[kMaxThreads];
  float late_m_log2[kMaxWarps][kRunPieces];  // of a warp's run, where not among those
  float4 runs[kMaxWarps][kWarp];
  float sink;
};

/// What a warp that waits for no other keeps where it takes no registers.
struct WarpRow {
  // Where a row has more pieces than are in flight, each lane's own:
  float4 run[kLoneParts][kWarp];          // that has begun
  float4 runs_before[kLoneParts][kWarp];  // it
  SplitSequence split;
  void* out;
  float* lse;
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

/// o of a few pieces in a few column parts, from a lane's first column on: what a lane has in
/// flight.
template <bool kAligned, int kParts>
struct PiecesInFlight {
  static constexpr int kPieces = kRunPieces / kParts;

  float4 o[kParts][kPieces];

  /// From first_piece on, which `line` is of; zeros past the last piece and the last column.
  __device__ void load(const SplitRow& row, int first_piece, const float* line, int column,
                       int d_v) {
    const int num_pieces = row.num_pieces() - first_piece;
#pragma unroll
    for (int k = 0; k < kPieces; ++k) {
      const float* const at = line + k * row.piece_stride() + (k == 0 ? row.shift(first_piece) : 0);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int from = part * kWarpColumns;
        o[part][k] = k < num_pieces && column + from < d_v
                         ? load_columns<kAligned>(at + from, column + from, d_v)
                         : float4{};
      }
    }
  }

  /// Adds those of a part to a run's sum. The lane first_lane + k has the weight of the piece k.
  __device__ void add_to(float4& sum, int part, float lane_weight, int first_lane) const {
#pragma unroll
    for (int k = 0; k < kPieces; ++k) {
      // Its o, read before its weight was known, may be anything where the weight is 0.
      const float piece_weight = __shfl_sync(kAllLanes, lane_weight, first_lane + k);
      add_weighted(sum, piece_weight, piece_weight != 0 ? o[part][k] : float4{});
    }
  }
};

/// A row of a rank, and the column parts that the block has warps for. By all threads, thread i of
/// which brings the state of piece i. Of each column part, warp `run` takes every num_run_warps-th
/// run. Its loads do not wait for the weights, which need the maximum of all pieces, nor for what
/// tells which of them count.
template <typename Out, bool kAligned>
__device__ void merge_row_by_block(const DecodeCall& call, const MergeGrid& grid,
                                   const SplitSequence& split, int rank, int row_in_tile,
                                   BlockSums& shared) {
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
  PiecesInFlight<kAligned, 1> pieces;

  start_after_previous(grid.num_waits);
  PieceState whole;
  const bool is_long = row.num_pieces() > static_cast<int>(blockDim.x);  // the block reads it twice
  if (is_long) {
    whole = merge_states(row.num_pieces(), [&](int i) { return row.stored_state(i).state(); });
  }
  pieces.load(row, first_piece, line, column, call.d_v);
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
    float4 run_sum{};
    pieces.add_to(run_sum, 0, weight(m_of_run[lane % kRunPieces], whole.m_log2), 0);
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
    pieces.load(row, first_piece, line, column, call.d_v);
    if (grid.num_run_warps > 1) __syncthreads();  // the last sums have been read
  }
  if (run != 0) return;
  const RowResult result = OutputRow::finish(call, whole.m_log2, whole.l, shared.sink);
  if (column == 0) output.store_lse(result.lse);
  columns.store(0, result.o_factor != 0 ? sum : float4{}, result.o_factor);
}

/// A row of a rank, and kLoneParts column parts from `part` on, aligned. By a warp, which waits for
/// no other. A lane's loads do not wait for the weights here either.
template <typename Out>
__device__ void merge_row_by_warp(const DecodeCall& call, const MergeGrid& grid, int rank,
                                  int row_in_tile, int part, WarpRow& shared) {
  const Sequence sequence = sequence_at(call.shape, shared.split.sequence_idx);
  const RowRange rows = rows_of_rank(call.shape, sequence, rank);
  if (rows.begin + row_in_tile >= rows.end) return;

  using Pieces = PiecesInFlight<true, kLoneParts>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int column = part * kWarpColumns + 4 * lane;
  const SplitRow row(call, shared.split, rank, row_in_tile);
  const OutputRow output(call, sequence, rows.begin + row_in_tile);
  const float* const sink_at = output.sink();
  __syncwarp();  // the last row's have been read
  if (lane == 0) {
    shared.out = output.columns<Out>().out;
    shared.lse = output.lse();
    if (sink_at != nullptr) shared.sink = load_before_wait(sink_at);
  }
  __syncwarp();
  PieceState own;  // of the piece `lane`, later of the one 32 further on, and so on
  PieceState whole;
  float o_factor = 0;
  Pieces pieces;

  start_after_previous(grid.num_waits);
#pragma unroll 1
  for (int first_piece = 0; first_piece < row.num_pieces(); first_piece += Pieces::kPieces) {
    pieces.load(row, first_piece, row.line(first_piece) + column, column, call.d_v);
    if (first_piece % kWarp == 0) own = row.stored_state(first_piece + lane).state();
    if (first_piece == 0) {
      whole = merge_states(row.num_pieces(),
                           [&](int i) { return i == lane ? own : row.stored_state(i).state(); });
      const RowResult result = OutputRow::finish(call, whole.m_log2, whole.l, shared.sink);
      if (column == 0 && call.lse != nullptr) *shared.lse = result.lse;
      o_factor = result.o_factor;
    }
    const float lane_weight = weight(own.m_log2, whole.m_log2);
    const int end = first_piece + Pieces::kPieces;
    const bool is_last = end >= row.num_pieces();
    const bool ends_run = is_last || end % kRunPieces == 0;
#pragma unroll
    for (int i = 0; i < kLoneParts; ++i) {
      float4 sum = first_piece % kRunPieces == 0 ? float4{} : shared.run[i][lane];
      pieces.add_to(sum, i, lane_weight, first_piece % kWarp);
      if (ends_run) {
        const float4 run_sum = sum;
        sum = end > kRunPieces ? shared.runs_before[i][lane] : float4{};
        add(sum, run_sum);
      }
      if (is_last) {
        const OutputColumns<Out> columns{static_cast<Out*>(shared.out), call.d_v};
        columns.store(column + i * kWarpColumns, o_factor != 0 ? sum : float4{}, o_factor);
      } else {
        (ends_run ? shared.runs_before : shared.run)[i][lane] = sum;
      }
    }
  }
}

/// A block takes one row at a time, or where kLone each of its warps kLoneParts column parts of a
/// row.
template <typename Out, bool kAligned, bool kLone>
__global__ void __launch_bounds__(kWarp* bound_warps(kAligned, kLone), 1)
    merge_pieces(const __grid_constant__ DecodeCall call, const __grid_constant__ MergeGrid grid) {
  __shared__ std::conditional_t<kLone, WarpRow[kLoneWarps], BlockSums> shared;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int row_warp = kLone ? warp / grid.num_part_warps : 0;
  const int num_row_warps = kLone ? grid.num_row_warps : 1;
#pragma unroll 1
  for (std::uint32_t y = blockIdx.y; y < grid.height; y += gridDim.y) {
    const SplitSequence split = grid.by_range
                                    ? split_from_range(call, y)
                                    : split_of_sequence(call, static_cast<std::int32_t>(y));
    if (split.num_ranges < 2) continue;
    if constexpr (kLone) {
      __syncwarp();  // the last sequence's has been read
      if (threadIdx.x % kWarp == 0) shared[warp].split = split;
      __syncwarp();
    }
#pragma unroll 1
    for (int i = static_cast<int>(blockIdx.x) * num_row_warps + row_warp; i < grid.num_rows;
         i += static_cast<int>(gridDim.x) * num_row_warps) {
      const int rank = i / grid.num_tile_rows;
      const int row_in_tile = i - rank * grid.num_tile_rows;
      if constexpr (kLone) {
        const int part_warp = static_cast<int>(blockIdx.z) * grid.num_part_warps + warp -
                              row_warp * grid.num_part_warps;
        merge_row_by_warp<Out>(call, grid, rank, row_in_tile, part_warp * kLoneParts, shared[warp]);
      } else {
        merge_row_by_block<Out, kAligned>(call, grid, split, rank, row_in_tile, shared);
        __syncthreads();  // before the next row's states and sums overwrite these
      }
    }
  }
  start_after_previous(grid.num_waits);  // who had nothing to merge has not waited
}

// ----------------------------------------------------------------------------------------- launch

constexpr std::int64_t kBlockWarps = 8;  // more only for more runs than that
/// Rows one after the other, of a block and of a warp: one sequence may be all that is to be
/// merged.
constexpr std::int64_t kMostTurns = 8;
constexpr std::int64_t kMostLoneTurns = 2;
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

struct MergeLaunch {
  LaunchShape shape;
  MergeGrid grid;
  bool are_lone = false;  // its warps
};

/// All blocks on the device at once where that can be (of aligned columns, on Hopper): else warps
/// take several runs one after the other, then four column parts, then several rows one after the
/// other.
MergeLaunch choose_launch(const DecodeCall& call, bool is_aligned) {
  const GroupShape& shape = call.shape;
  const std::int64_t num_sequences = shape.num_sequences();
  const std::int64_t height = std::min<std::int64_t>(shape.num_ranges, num_sequences);
  const std::int64_t num_tile_rows = std::min(shape.rows_per_tile, shape.num_rows());
  const std::int64_t num_rows = shape.group_size * num_tile_rows;
  const std::int64_t num_workers = std::int64_t{shape.num_groups} * shape.group_size;
  const std::int64_t num_parts = ceil_div(call.d_v, kWarpColumns);
  const std::int64_t num_runs =
      std::clamp<std::int64_t>(ceil_div(expected_pieces(shape), kRunPieces), 1, kMaxWarps);

  bool are_lone = false;
  std::int64_t row_warps = 1;
  std::int64_t run_warps = 0;
  std::int64_t part_warps = 0;
  std::int64_t num_part_groups = 0;
  std::int64_t waves = 0;
  const auto set_part_warps = [&](std::int64_t most) {
    const std::int64_t all = ceil_div(num_parts, are_lone ? kLoneParts : 1);
    num_part_groups = ceil_div(all, std::clamp<std::int64_t>(most, 1, all));
    part_warps = ceil_div(all, num_part_groups);
  };
  const auto set_waves = [&] {
    const std::int64_t capacity =
        num_workers * (warps_on_worker(are_lone) / (row_warps * part_warps * run_warps));
    waves = ceil_div(height * ceil_div(num_rows, row_warps) * num_part_groups, capacity);
  };
  for (std::int64_t rounds = 1; rounds == 1 || (waves > 1 && run_warps > 1); ++rounds) {
    run_warps = ceil_div(num_runs, rounds);
    set_part_warps(kBlockWarps / run_warps);
    set_waves();
  }
  if (waves > 1 && num_parts > 1 && is_aligned) {
    are_lone = true;
    set_part_warps(kLoneWarps);
    row_warps = std::min(kLoneWarps / part_warps, num_rows);
    set_waves();
  }
  MergeLaunch launch;
  launch.shape.grid.x = static_cast<unsigned>(ceil_div(
      ceil_div(num_rows, row_warps), std::min(waves, are_lone ? kMostLoneTurns : kMostTurns)));
  launch.shape.grid.y = static_cast<unsigned>(std::min(height, kMaxGridY));
  launch.shape.grid.z = static_cast<unsigned>(num_part_groups);
  launch.shape.block.x = static_cast<unsigned>(kWarp * row_warps * part_warps * run_warps);
  launch.grid = {.by_range = shape.num_ranges < num_sequences,
                 .height = static_cast<std::uint32_t>(height),
                 .num_rows = static_cast<std::int32_t>(num_rows),
                 .num_tile_rows = static_cast<std::int32_t>(num_tile_rows),
                 .num_row_warps = static_cast<std::int32_t>(row_warps),
                 .num_part_warps = static_cast<std::int32_t>(part_warps),
                 .num_run_warps = static_cast<std::int32_t>(run_warps)};
  launch.are_lone = are_lone;
  return launch;
}

bool are_slots_aligned(const DecodeCall& call) {
  return call.d_v % 4 == 0 && call.slot_stride % 4 == 0 &&
         reinterpret_cast<std::uintptr_t>(call.slots) % sizeof(float4) == 0;
}

template <typename Out, bool kAligned, bool kLone>
Status launch(const DecodeCall& call, const MergeLaunch& chosen, StreamHandle stream) {
  return launch_dependent<merge_pieces<Out, kAligned, kLone>>("merge_pieces", chosen.shape, stream,
                                                              call, chosen.grid);
}

template <typename Out>
Status launch(const DecodeCall& call, StreamHandle stream) {
  const bool is_aligned = are_slots_aligned(call);
  const MergeLaunch chosen = choose_launch(call, is_aligned);
  if (!is_aligned) return launch<Out, false, false>(call, chosen, stream);
  return chosen.are_lone ? launch<Out, true, true>(call, chosen, stream)
                         : launch<Out, true, false>(call, chosen, stream);
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
