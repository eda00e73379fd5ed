// A row of a split sequence, as the kernels of combine.cu see it in the slots.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/decode_call.h"

namespace seesaw::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
/// Pieces are summed in runs of this many, one fused multiply-add each in the order of keys, then
/// the runs in order: always the same bits, whoever does it.
constexpr int kRunPieces = 8;
constexpr int kWarpColumns = 4 * kWarp;  // that a warp loads at once, four a lane

/// A sequence in the slots of num_ranges neighbouring ranges, some of them perhaps empty.
struct SplitSequence {
  std::int32_t sequence_idx = 0;
  std::uint32_t first_range = 0;
  std::int32_t num_ranges = 0;
};

/// m and l of a piece for one row; m is -inf where it has seen no key, and o is then not to be
/// read.
struct PieceState {
  float m_log2 = -INFINITY;
  float l = 0;
};

/// Unsigned, so that the cuts of a warp's lanes past the last range have a number too.
__device__ Cut load_cut(const DecodeCall& call, std::uint32_t range_idx) {
  const std::uint32_t idx = min(range_idx, static_cast<std::uint32_t>(call.shape.num_ranges));
  const int2 cut = __ldcg(reinterpret_cast<const int2*>(call.cuts) + idx);
  return {cut.x, cut.y};
}

/// One row of one rank of a split sequence: its states and its o in the slots.
class SplitRow {
 public:
  __device__ SplitRow(const DecodeCall& call, const SplitSequence& split, std::int32_t rank,
                      std::int32_t row_in_tile)
      : call_(call), split_(split), row_in_tile_(row_in_tile) {
    const GroupShape& shape = call.shape;
    const std::int64_t rank_stride = call.slot_stride;
    range_stride_ = shape.slots_per_range * shape.group_size * rank_stride;
    second_o_ = call.slots + (std::int64_t{split.first_range} + 1) * range_stride_ +
                rank * rank_stride + std::int64_t{row_in_tile} * call.d_v;
    first_o_ = second_o_ - shape.group_size * rank_stride;  // the last slot of the range before
  }

  __device__ int num_pieces() const { return split_.num_ranges; }

  __device__ const float* o(int piece_idx) const {
    return piece_idx == 0 ? first_o_ : second_o_ + (piece_idx - 1) * range_stride_;
  }

  /// Loads what it may not need (a slot that nobody wrote) rather than wait for the cuts.
  __device__ PieceState state(int piece_idx) const {
    if (piece_idx >= split_.num_ranges) return {};
    const std::int32_t rows_after = call_.shape.rows_per_tile - row_in_tile_;
    const float* const m = o(piece_idx) + rows_after * call_.d_v + row_in_tile_;
    const PieceState state{__ldcg(m), __ldcg(m + call_.shape.rows_per_tile)};
    const std::uint32_t range_idx = split_.first_range + static_cast<std::uint32_t>(piece_idx);
    const bool is_empty_range = load_cut(call_, range_idx) == load_cut(call_, range_idx + 1);
    return is_empty_range || state.l == 0 ? PieceState{} : state;
  }

 private:
  const DecodeCall& call_;
  const SplitSequence& split_;
  const float* first_o_ = nullptr;
  const float* second_o_ = nullptr;
  std::int64_t range_stride_ = 0;
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

/// Columns [column, column + 4) of a row of o; those from d_v on are 0.
template <bool kAligned>
__device__ float4 load_columns(const float* o, int column, int d_v) {
  if (kAligned) {
    return column < d_v ? __ldcg(reinterpret_cast<const float4*>(o + column)) : float4{};
  }
  return {column < d_v ? __ldcg(o + column) : 0.0f,
          column + 1 < d_v ? __ldcg(o + column + 1) : 0.0f,
          column + 2 < d_v ? __ldcg(o + column + 2) : 0.0f,
          column + 3 < d_v ? __ldcg(o + column + 3) : 0.0f};
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
