// The seam between system/ and the CUDA kernels: one decode as the device sees it. Plain data,
// handed to kernels by value; includes no CUDA header.
#pragma once

#include <cstdint>

#include "seesaw/types/dtype.h"
#include "seesaw/types/group_plan.h"

namespace seesaw::cuda {

/// Strides of [request, token, head, d] in elements; the last one is 1.
struct RowStrides {
  std::int64_t request = 0;
  std::int64_t token = 0;
  std::int64_t head = 0;
};

/// All pointers are to device memory.
struct DecodeCall {
  const void* q = nullptr;
  RowStrides q_strides;
  DType q_dtype = DType::kBFloat16;

  const void* kv_cache = nullptr;  // [num_pages, page_size, h_kv, d_qk], of q_dtype
  std::int64_t num_pages = 0;
  std::int64_t page_stride = 0;  // elements
  std::int64_t token_stride = 0;
  std::int64_t kv_head_stride = 0;
  std::int32_t page_size = 0;

  const std::int32_t* block_table = nullptr;  // [b, ...]
  std::int64_t block_table_request_stride = 0;
  std::int64_t block_table_page_stride = 1;

  const float* attn_sink = nullptr;  // [h_q], or nullptr
  std::int64_t attn_sink_stride = 1;

  void* out = nullptr;
  RowStrides out_strides;
  DType out_dtype = DType::kBFloat16;
  float* lse = nullptr;  // or nullptr
  RowStrides lse_strides;

  std::int32_t d_qk = 0;
  std::int32_t d_v = 0;
  float scale_log2 = 0;  // softmax scale times log2 e

  GroupShape shape;
  const Cut* cuts = nullptr;                   // [num_ranges + 1]
  const std::int32_t* first_ranges = nullptr;  // [num_groups + 1]
  const std::int32_t* kv_lengths = nullptr;    // [b]
  /// Partial results: slot (slot_idx * group_size + rank) holds o float32 [rows_per_tile, d_v], not
  /// divided by l, then m (log2 units) and l float32 [rows_per_tile].
  float* slots = nullptr;
  std::int64_t slot_stride = 0;  // float32 elements
  /// Where not nullptr, the kernel merges the pieces itself, and launch_combine is not called.
  /// [kMergeLevels, slots]: how many of a group of pieces, or of what they were merged to, are in
  /// their slots; at the slot of the group's first. All 0 between calls.
  std::int32_t* arrivals = nullptr;
};

}  // namespace seesaw::cuda
