// A row of a split sequence, as combine.cu sees it in the slots.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/decode_call.h"
#include "hardware/cuda/split_sequence.cuh"

namespace seesaw::cuda {

/// Pieces are summed in runs of this many, one fused multiply-add each in the order of keys, then
/// the runs in order: always the same bits, whoever does it.
constexpr int kRunPieces = 8;
constexpr int kWarpColumns = 4 * kWarp;  // that a warp loads at once, four a lane

/// m and l of a piece for one row; m is -inf where it has seen no key, and o is then not to be
/// read.
struct PieceState {
  float m_log2 = -INFINITY;
  float l = 0;
};

/// What memory holds about a piece of a row: its slot, and between which blocks of keys it lies,
/// which tells whether anybody wrote that slot. To ask for all of it does not wait for any of it.
struct StoredState {
  float m_log2 = 0;
  float l = 0;
  std::int32_t begin = 0;
  std::int32_t end = 0;

  __device__ PieceState state() const {
    return begin == end || l == 0 ? PieceState{} : PieceState{m_log2, l};
  }
};

/// One row of one rank of a split sequence: its states and its o in the slots.
class SplitRow {
 public:
  __device__ SplitRow(const DecodeCall& call, const SplitSequence& split, std::int32_t rank,
                      std::int32_t row_in_tile)
      : call_(call), split_(split), row_in_tile_(row_in_tile) {
    const GroupShape& shape = call.shape;
    const std::int64_t rank_stride = call.slot_stride;
    piece_stride_ = shape.slots_per_range * shape.group_size * rank_stride;
    line_ = call.slots + split.first_range * piece_stride_ + rank * rank_stride +
            std::int64_t{row_in_tile} * call.d_v;
    first_shift_ = piece_stride_ - shape.group_size * rank_stride;
  }

  __device__ int num_pieces() const { return split_.num_ranges; }

  /// o of the pieces stands in line, but for that of the first piece, which is shifted: it is in
  /// the last slot of its range.
  __device__ const float* line(int piece_idx) const { return line_ + piece_idx * piece_stride_; }
  __device__ std::int64_t piece_stride() const { return piece_stride_; }
  __device__ std::int64_t shift(int piece_idx) const { return piece_idx == 0 ? first_shift_ : 0; }

  /// Past the last piece, what an empty range has.
  __device__ StoredState stored_state(int piece_idx) const {
    if (piece_idx >= split_.num_ranges) return {};
    const std::int32_t rows_after = call_.shape.rows_per_tile - row_in_tile_;
    const float* const o = line(piece_idx) + shift(piece_idx);
    const float* const m = o + rows_after * call_.d_v + row_in_tile_;
    // The first and the last piece are not empty; beyond them the cuts are in other sequences.
    StoredState stored{__ldcg(m), __ldcg(m + call_.shape.rows_per_tile), -1, INT32_MAX};
    const Cut* const cuts = call_.cuts + split_.first_range + piece_idx;
    if (piece_idx > 0) stored.begin = load_before_wait(&cuts[0].block_idx);
    if (piece_idx < split_.num_ranges - 1) stored.end = load_before_wait(&cuts[1].block_idx);
    return stored;
  }

 private:
  const DecodeCall& call_;
  const SplitSequence& split_;
  const float* line_ = nullptr;
  std::int64_t piece_stride_ = 0;
  std::int64_t first_shift_ = 0;
  std::int32_t row_in_tile_ = 0;
};

/// What a piece's o and l count for: nothing where it has seen no key.
__device__ float weight(float m_log2, float max_log2) {
  return m_log2 == -INFINITY ? 0.0f : exp2f(m_log2 - max_log2);
}

/// m and l of the whole row, the same in all lanes of the warp. Lane i sums the pieces i, i + 32,
/// ..., then the lanes are added pairwise: always the same order. state_of(i) is empty past the
/// end.
template <typename StateOf>
__device__ PieceState merge_states(int num_pieces, const StateOf& state_of) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  PieceState sum = state_of(lane);
#pragma unroll 1
  for (int i = lane + kWarp; i < num_pieces; i += kWarp) {
    const PieceState piece = state_of(i);
    const float m_log2 = fmaxf(sum.m_log2, piece.m_log2);
    sum.l = __fmaf_rn(sum.l, weight(sum.m_log2, m_log2),
                      __fmul_rn(piece.l, weight(piece.m_log2, m_log2)));
    sum.m_log2 = m_log2;
  }
  float m_log2 = sum.m_log2;
  for (int i = kWarp / 2; i > 0; i /= 2) {
    m_log2 = fmaxf(m_log2, __shfl_xor_sync(kAllLanes, m_log2, i));
  }
  sum.l = __fmul_rn(sum.l, weight(sum.m_log2, m_log2));
  for (int i = kWarp / 2; i > 0; i /= 2) {
    sum.l = __fadd_rn(sum.l, __shfl_xor_sync(kAllLanes, sum.l, i));
  }
  return {m_log2, sum.l};
}

/// Columns [column, column + 4) of a row, from the first of them, which is before d_v; those that
/// are not are 0.
template <bool kAligned>
__device__ float4 load_columns(const float* o, int column, int d_v) {
  if (kAligned) return __ldcg(reinterpret_cast<const float4*>(o));
  return {__ldcg(o), column + 1 < d_v ? __ldcg(o + 1) : 0.0f,
          column + 2 < d_v ? __ldcg(o + 2) : 0.0f, column + 3 < d_v ? __ldcg(o + 3) : 0.0f};
}

__device__ void add_weighted(float4& sum, float weight, const float4& o) {
  sum.x = __fmaf_rn(weight, o.x, sum.x);
  sum.y = __fmaf_rn(weight, o.y, sum.y);
  sum.z = __fmaf_rn(weight, o.z, sum.z);
  sum.w = __fmaf_rn(weight, o.w, sum.w);
}

__device__ void add(float4& sum, const float4& run) {
  sum.x = __fadd_rn(sum.x, run.x);
  sum.y = __fadd_rn(sum.y, run.y);
  sum.z = __fadd_rn(sum.z, run.z);
  sum.w = __fadd_rn(sum.w, run.w);
}

}  // namespace seesaw::cuda
