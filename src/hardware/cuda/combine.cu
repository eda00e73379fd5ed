// Merges the pieces of split sequences: docs/kernels/combine.md.
//
// Two kernels for one sum. merge_rows gives a row to a warp: many rows of few pieces. merge_columns
// gives 128 columns of a row to a block and spreads the pieces over its warps: few rows of many
// pieces. Both add in the order of split_row.cuh, so that a row's bits do not depend on which one
// ran.
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

constexpr int kRowsPerBlock = 8;     // merge_rows: its warps
constexpr int kVectorsPerPass = 2;   // merge_rows: of kWarpColumns, a pass over the pieces
constexpr int kMaxWarps = 17;        // merge_columns: 136 pieces at once, more than Hopper has SMs
constexpr int kMaxSpan = kWarp - 1;  // ranges whose cuts a warp looks at in one load
constexpr std::uint32_t kMaxGridY = 65535;  // more spans than this take turns

/// The grid, the same for any lengths. x: a part of a tile's rows (and of their columns), for each
/// rank. y: in merge_rows a span of ranges, in merge_columns a sequence.
struct MergeGrid {
  std::int32_t num_parts = 1;
  std::uint32_t ranges_per_span = 1;
  std::uint32_t num_spans = 1;
};

// -------------------------------------------------------------------------- many rows, few pieces

/// Calls merge(SplitSequence) for every sequence whose first piece lies in the ranges [begin, end).
/// All lanes of a warp take part.
template <typename Merge>
__device__ void for_each_split(const DecodeCall& call, std::uint32_t begin, std::uint32_t end,
                               const Merge& merge) {
  const unsigned lane = threadIdx.x % kWarp;
  const Cut here = load_cut(call, begin + lane);
  const Cut next{__shfl_down_sync(kAllLanes, here.sequence_idx, 1),
                 __shfl_down_sync(kAllLanes, here.block_idx, 1)};
  const bool begins = begin + lane < end && begins_split_sequence(here, next);
#pragma unroll 1
  for (unsigned left = __ballot_sync(kAllLanes, begins); left != 0; left &= left - 1) {
    const unsigned first_lane = __ffs(static_cast<int>(left)) - 1;
    SplitSequence split;
    split.sequence_idx = __shfl_sync(kAllLanes, next.sequence_idx, first_lane);
    split.first_range = begin + first_lane;
    // Its last piece's range is the one whose end is the first cut in another sequence.
    unsigned others =
        __ballot_sync(kAllLanes, lane > first_lane + 1 && here.sequence_idx != split.sequence_idx);
    std::uint32_t base = begin;
#pragma unroll 1
    while (others == 0) {
      base += kWarp;
      others =
          __ballot_sync(kAllLanes, load_cut(call, base + lane).sequence_idx != split.sequence_idx);
    }
    split.num_ranges = static_cast<int>(base - split.first_range) + __ffs(others) - 1;
    merge(split);
  }
}

/// The same for the spans of this block.
template <typename Merge>
__device__ void for_each_split(const DecodeCall& call, const MergeGrid& grid, const Merge& merge) {
  const auto num_ranges = static_cast<std::uint32_t>(call.shape.num_ranges);
#pragma unroll 1
  for (std::uint32_t span = blockIdx.y; span < grid.num_spans; span += gridDim.y) {
    const std::uint32_t begin = span * grid.ranges_per_span;
    for_each_split(call, begin, min(begin + grid.ranges_per_span, num_ranges), merge);
  }
}

/// o of the row's pieces in kVectorsPerPass times kWarpColumns columns from `column` of this lane.
template <bool kAligned>
__device__ void sum_pieces(const SplitRow& row, float m_of_lane, float max_log2, int column,
                           std::int32_t d_v, float4 (&sum)[kVectorsPerPass]) {
  constexpr int kAtOnce = kAligned ? 2 : 1;  // pieces whose loads are in flight together
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int num_pieces = row.num_pieces();
#pragma unroll 1
  for (int chunk = 0; chunk < num_pieces; chunk += kWarp) {
    const float m_log2 = chunk == 0 ? m_of_lane : row.state(chunk + lane).m_log2;
    const float lane_weight = weight(m_log2, max_log2);
#pragma unroll 1
    for (int run = chunk; run < min(num_pieces, chunk + kWarp); run += kRunPieces) {
      float4 run_sum[kVectorsPerPass] = {};
#pragma unroll 1
      for (int i = run; i < min(num_pieces, run + kRunPieces); i += kAtOnce) {
        float weights[kAtOnce];
        float4 o[kAtOnce][kVectorsPerPass];
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          weights[k] = __shfl_sync(kAllLanes, lane_weight, i + k - chunk);  // 0 past the last
          const float* piece_o = row.o(i + k);
#pragma unroll
          for (int v = 0; v < kVectorsPerPass; ++v) {
            o[k][v] = weights[k] != 0
                          ? load_columns<kAligned>(piece_o, column + v * kWarpColumns, d_v)
                          : float4{};
          }
        }
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
#pragma unroll
          for (int v = 0; v < kVectorsPerPass; ++v) add_weighted(run_sum[v], weights[k], o[k][v]);
        }
      }
#pragma unroll
      for (int v = 0; v < kVectorsPerPass; ++v) add(sum[v], run_sum[v]);
    }
  }
}

template <typename Out, bool kAligned>
__device__ void merge_row(const DecodeCall& call, const SplitRow& row, const Sequence& sequence,
                          std::int32_t q_row) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const PieceState piece = row.state(lane);
  const PieceState whole =
      merge_states(row.num_pieces(), [&](int i) { return i == lane ? piece : row.state(i); });
  const OutputRow output(call, sequence, q_row);
  const RowResult result = output.finish(whole.m_log2, whole.l);
  if (lane == 0) output.store_lse(result.lse);
  const OutputColumns<Out> columns = output.columns<Out>();
#pragma unroll 1
  for (int begin = 0; begin < call.d_v; begin += kVectorsPerPass * kWarpColumns) {
    const int column = begin + 4 * lane;
    float4 sum[kVectorsPerPass] = {};
    if (result.o_factor != 0) {
      sum_pieces<kAligned>(row, piece.m_log2, whole.m_log2, column, call.d_v, sum);
    }
#pragma unroll
    for (int v = 0; v < kVectorsPerPass; ++v) {
      columns.store(column + v * kWarpColumns, sum[v], result.o_factor);
    }
  }
}

template <typename Out, bool kAligned>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp, 3)
    merge_rows(const __grid_constant__ DecodeCall call, const MergeGrid grid) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int part = static_cast<int>(blockIdx.x) % grid.num_parts;
  const int rank = static_cast<int>(blockIdx.x) / grid.num_parts;
  const int row = part * kRowsPerBlock + static_cast<int>(threadIdx.x) / kWarp;
  for_each_split(call, grid, [&](const SplitSequence& split) {
    const Sequence sequence = sequence_at(call.shape, split.sequence_idx);
    const RowRange rows = rows_of_rank(call.shape, sequence, rank);
    if (rows.begin + row >= rows.end) return;
    merge_row<Out, kAligned>(call, SplitRow(call, split, rank, row), sequence, rows.begin + row);
  });
}

// -------------------------------------------------------------------------- few rows, many pieces

/// What the warps of a block give each other.
struct ColumnSums {
  float m_log2[kMaxWarps * kRunPieces];  // of the first pieces
  float l[kMaxWarps * kRunPieces];
  float4 runs[kMaxWarps][kWarp];
};

/// The number of cuts that are not after the first and not after the second target, less one: the
/// ranges in which they lie. All threads of the block take part; each looks at one cut of many.
struct RangePair {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
};
__device__ RangePair find_ranges(const DecodeCall& call, const Cut& first, const Cut& second) {
  const Cut targets[2] = {first, second};
  std::uint32_t found[2] = {0, 0};
  std::uint32_t sizes[2];
  sizes[0] = sizes[1] = static_cast<std::uint32_t>(call.shape.num_ranges);
#pragma unroll 1
  while (sizes[0] > 1 || sizes[1] > 1) {
    Cut cuts[2];
    std::uint32_t steps[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      steps[i] = (sizes[i] - 1) / blockDim.x + 1;
      cuts[i] = load_cut(call, found[i] + min(threadIdx.x * steps[i], sizes[i]));
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const bool is_before = threadIdx.x * steps[i] < sizes[i] && cuts[i] <= targets[i];
      const std::uint32_t last = static_cast<std::uint32_t>(__syncthreads_count(is_before)) - 1;
      found[i] += last * steps[i];
      sizes[i] = min(steps[i], sizes[i] - last * steps[i]);
    }
  }
  return {found[0], found[1]};
}

/// The sum over the run of this warp. The lane k has m of the piece whose o is o[k].
__device__ float4 sum_run(float m_of_lane, float max_log2, const float4 (&o)[kRunPieces]) {
  const float lane_weight = weight(m_of_lane, max_log2);
  float4 sum{};
#pragma unroll
  for (int k = 0; k < kRunPieces; ++k) {
    // Its o, read before its weight was known, may be infinite where the weight is 0.
    const float piece_weight = __shfl_sync(kAllLanes, lane_weight, k);
    add_weighted(sum, piece_weight, piece_weight != 0 ? o[k] : float4{});
  }
  return sum;
}

/// Columns [column, column + 4) of the row's o, divided by nothing, in the lanes of warp 0, and its
/// state in all threads. Each warp takes every num_warps-th run; all loads of a run are in flight
/// at once, and do not wait for the weights, which need the maximum of all pieces.
template <bool kAligned>
__device__ PieceState sum_columns(const SplitRow& row, int column, std::int32_t d_v,
                                  ColumnSums& shared, float4& sum) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int num_warps = static_cast<int>(blockDim.x) / kWarp;
  const int num_runs = (row.num_pieces() + kRunPieces - 1) / kRunPieces;
  PieceState whole;
#pragma unroll 1
  for (int round = 0; round < num_runs; round += num_warps) {
    const int first_piece = (round + warp) * kRunPieces;
    const PieceState piece = lane < kRunPieces ? row.state(first_piece + lane) : PieceState{};
    float4 o[kRunPieces];
#pragma unroll
    for (int k = 0; k < kRunPieces; ++k) {
      const bool has_keys = __shfl_sync(kAllLanes, piece.m_log2, k) != -INFINITY;
      o[k] = has_keys ? load_columns<kAligned>(row.o(first_piece + k), column, d_v) : float4{};
    }
    if (round == 0) {
      if (lane < kRunPieces) {
        shared.m_log2[first_piece + lane] = piece.m_log2;
        shared.l[first_piece + lane] = piece.l;
      }
      __syncthreads();
      whole = merge_states(row.num_pieces(), [&](int i) {
        return i < num_warps * kRunPieces ? PieceState{shared.m_log2[i], shared.l[i]}
                                          : row.state(i);
      });
    }
    shared.runs[warp][lane] = sum_run(piece.m_log2, whole.m_log2, o);
    __syncthreads();
    if (warp == 0) {
      for (int i = 0; i < min(num_warps, num_runs - round); ++i) add(sum, shared.runs[i][lane]);
    }
    __syncthreads();  // before the next sums overwrite these
  }
  return whole;
}

template <typename Out, bool kAligned>
__global__ void __launch_bounds__(kMaxWarps* kWarp, 1)
    merge_columns(const __grid_constant__ DecodeCall call, const MergeGrid grid) {
  __shared__ ColumnSums shared;
  wait_for_previous_kernel();
  let_next_kernel_start();
  const auto sequence_idx = static_cast<std::int32_t>(blockIdx.y);
  const RangePair ranges = find_ranges(call, {sequence_idx, 0}, {sequence_idx, INT32_MAX});
  if (ranges.first == ranges.second) return;  // whole

  const int part = static_cast<int>(blockIdx.x) % grid.num_parts;
  const int rank = static_cast<int>(blockIdx.x) / grid.num_parts;
  const int num_column_parts = (call.d_v + kWarpColumns - 1) / kWarpColumns;
  const int row_in_tile = part / num_column_parts;
  const Sequence sequence = sequence_at(call.shape, sequence_idx);
  const RowRange rows = rows_of_rank(call.shape, sequence, rank);
  const std::int32_t row = rows.begin + row_in_tile;
  if (row >= rows.end) return;

  const SplitSequence split{sequence_idx, ranges.first,
                            static_cast<std::int32_t>(ranges.second - ranges.first) + 1};
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int column = part % num_column_parts * kWarpColumns + 4 * lane;
  float4 sum{};
  const PieceState whole = sum_columns<kAligned>(SplitRow(call, split, rank, row_in_tile), column,
                                                 call.d_v, shared, sum);
  if (threadIdx.x >= kWarp) return;
  const OutputRow output(call, sequence, row);
  const RowResult result = output.finish(whole.m_log2, whole.l);
  if (column == 0) output.store_lse(result.lse);
  output.columns<Out>().store(column, result.o_factor != 0 ? sum : float4{}, result.o_factor);
}

// ----------------------------------------------------------------------------------------- launch

/// Rows of a tile that any sequence fills.
std::int32_t rows_of_tile(const GroupShape& shape) {
  return std::min(shape.rows_per_tile, shape.num_rows());
}

/// Many pieces a sequence, and so few rows that a warp a row would leave most of the device idle.
bool has_few_rows(const GroupShape& shape) {
  constexpr std::int64_t kFewRows = 1024;
  const std::int64_t num_rows =
      shape.num_sequences() * shape.group_size * std::int64_t{rows_of_tile(shape)};
  return num_rows <= kFewRows && shape.num_ranges >= kRunPieces * shape.num_sequences();
}

/// Ranges in which one sequence is expected to begin: as many as each has in kPieces. Elsewhere
/// one, so that no block gets two sequences.
std::uint32_t ranges_per_span(const GroupShape& shape) {
  if (shape.num_ranges == shape.num_groups) return 1;
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(shape.num_ranges / shape.num_sequences(), 1, kMaxSpan));
}

/// Warps of a block of merge_columns, a run each: for twice the mean number of pieces where there
/// are several sequences, whose lengths may differ.
std::int32_t warps_for_columns(const GroupShape& shape) {
  const std::int64_t num_sequences = shape.num_sequences();
  const std::int64_t pieces =
      num_sequences == 1 ? shape.num_ranges : 2 * (shape.num_ranges / num_sequences);
  return static_cast<std::int32_t>(
      std::clamp<std::int64_t>((pieces + kRunPieces - 1) / kRunPieces, 1, kMaxWarps));
}

bool are_slots_aligned(const DecodeCall& call) {
  return call.d_v % 4 == 0 && call.slot_stride % 4 == 0 &&
         reinterpret_cast<std::uintptr_t>(call.slots) % sizeof(float4) == 0;
}

template <typename Out, bool kAligned>
Status launch(const DecodeCall& call, StreamHandle stream) {
  const GroupShape& shape = call.shape;
  MergeGrid grid;
  grid.ranges_per_span = ranges_per_span(shape);
  grid.num_spans = (static_cast<std::uint32_t>(shape.num_ranges) - 1) / grid.ranges_per_span + 1;
  const bool by_columns = has_few_rows(shape);
  LaunchShape launch_shape;
  if (by_columns) {
    launch_shape.grid.y = static_cast<unsigned>(shape.num_sequences());
    launch_shape.block.x = static_cast<unsigned>(kWarp * warps_for_columns(shape));
    grid.num_parts = rows_of_tile(shape) * ((call.d_v + kWarpColumns - 1) / kWarpColumns);
  } else {
    launch_shape.grid.y = std::min(grid.num_spans, kMaxGridY);
    launch_shape.block.x = kRowsPerBlock * kWarp;
    grid.num_parts = (rows_of_tile(shape) + kRowsPerBlock - 1) / kRowsPerBlock;
  }
  launch_shape.grid.x = static_cast<unsigned>(grid.num_parts * shape.group_size);
  return by_columns ? launch_dependent<merge_columns<Out, kAligned>>("merge_columns", launch_shape,
                                                                     stream, call, grid)
                    : launch_dependent<merge_rows<Out, kAligned>>("merge_rows", launch_shape,
                                                                  stream, call, grid);
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
