// O from the products' register layout to memory: as the output's type, or as float32 into a slot.
// A thread holds rows r and r + 8 (see softmax.cuh) and of each columns 8 j + 2 (lane % 4) + {0,
// 1}.
#pragma once

#include "hardware/sm90/decode_dense/load.cuh"
#include "hardware/sm90/decode_dense/softmax.cuh"

namespace seesaw::sm90::decode_dense {

/// Element i of the quad's lane j becomes element j of lane i.
__device__ __forceinline__ void transpose_quad(std::uint32_t (&x)[4]) {
  const bool odd = threadIdx.x & 1;
  const bool high = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const std::uint32_t got = __shfl_xor_sync(~0u, odd ? x[i] : x[i + 1], 1);
    (odd ? x[i] : x[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t got = __shfl_xor_sync(~0u, high ? x[i] : x[i + 2], 2);
    (high ? x[i] : x[i + 2]) = got;
  }
}

/// One row in 16-bit elements, 16 bytes a store. A factor of 0, of a row that sees no key, makes
/// zeros of Inf and NaN, too. All lanes take part, those of rows that are not there as well.
template <typename Element, int kCount>
__device__ __forceinline__ void write_row(const float (&o)[kCount], int half, float factor,
                                          Element* to, bool is_valid) {
  to += threadIdx.x % 4 * 8;
#pragma unroll
  for (int j = 0; j < kCount / 16; ++j) {  // 32 columns
    std::uint32_t x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* pair = o + 4 * (4 * j + i) + 2 * half;
      x[i] = factor != 0 ? ptx::pack<Element>(pair[0] * factor, pair[1] * factor) : 0;
    }
    transpose_quad(x);
    if (is_valid) *reinterpret_cast<uint4*>(to + 32 * j) = make_uint4(x[0], x[1], x[2], x[3]);
  }
}

template <int kCount>
__device__ __forceinline__ void write_row(const float (&o)[kCount], int half, float factor,
                                          float* to, bool is_valid) {
  if (!is_valid) return;
  to += threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < kCount / 4; ++j) {
    const float* pair = o + 4 * j + 2 * half;
    *reinterpret_cast<float2*>(to + 8 * j) =
        factor != 0 ? make_float2(pair[0] * factor, pair[1] * factor) : make_float2(0, 0);
  }
}

/// The columns from `column` on of the item's rows, this warpgroup's part of O, to a slot or, where
/// slot_idx is -1, to the output.
template <typename Element, int kCount>
__device__ __forceinline__ void write_output(const KernelArgs& args, const Item& item,
                                             std::int32_t slot_idx, int column,
                                             const float (&o)[kCount], const float (&factor)[2]) {
  const cuda::DecodeCall& call = args.call;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + 8 * half;
    const bool is_valid = row < item.num_rows;
    const bool is_slot = slot_idx >= 0;
    const std::int64_t offset =
        column + (is_slot ? slot_idx * call.slot_stride + std::int64_t{row} * call.d_v
                          : row_offset(args, item, row, call.out_strides));
    if (is_slot || call.out_dtype == DType::kFloat32) {
      float* const to = (is_slot ? call.slots : static_cast<float*>(call.out)) + offset;
      write_row(o, half, factor[half], to, is_valid);
    } else {
      write_row(o, half, factor[half], static_cast<Element*>(call.out) + offset, is_valid);
    }
  }
}

/// m and l of a row to a slot.
__device__ __forceinline__ void write_state(const cuda::DecodeCall& call, std::int32_t slot_idx,
                                            int row, float m, float l) {
  float* const slot = call.slots + slot_idx * call.slot_stride + std::int64_t{kRows} * call.d_v;
  slot[row] = m;
  slot[kRows + row] = l;
}

/// The factor that O is owed at the end, of a row of the item. m and l: its softmax's.
__device__ __forceinline__ float output_factor(const KernelArgs& args, const Item& item, int row,
                                               float m, float l) {
  const cuda::DecodeCall& call = args.call;
  if (l == 0) return 0;
  float divisor = l;
  if (call.attn_sink != nullptr && row < item.num_rows) {
    constexpr float kLog2E = 1.44269504088896341f;
    const std::int64_t head = row_offset(args, item, row, {0, 0, call.attn_sink_stride});
    divisor *= 1 + exp2f(call.attn_sink[head] * kLog2E - (m + log2f(l)));
  }
  return 1 / divisor;
}

__device__ __forceinline__ void write_lse(const KernelArgs& args, const Item& item, int row,
                                          float m, float l) {
  const cuda::DecodeCall& call = args.call;
  if (row >= item.num_rows || call.lse == nullptr) return;
  constexpr float kLn2 = 0.693147180559945309f;
  const float lse_log2 = l == 0 ? INFINITY : m + log2f(l);
  call.lse[row_offset(args, item, row, call.lse_strides)] = lse_log2 * kLn2;
}

}  // namespace seesaw::sm90::decode_dense
