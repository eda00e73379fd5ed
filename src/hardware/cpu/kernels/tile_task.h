// What one CPU kernel call computes, as plain data: a tile of query rows against a range of keys.
//
// The kernels are compiled once for each instruction set, in files that the rest of the library
// must not share code with (see simd.h); these structs and the table of functions are all that
// crosses that line.
#pragma once

#include <cstddef>
#include <cstdint>

#include "seesaw/types/dtype.h"

namespace seesaw::cpu {

/// Where the keys of one request (and KV head) are. All strides in bytes, unless named otherwise.
struct KeySource {
  const std::byte* data = nullptr;  // page 0, token 0 of the KV head
  std::int64_t page_stride = 0;
  std::int64_t token_stride = 0;
  std::int64_t page_size = 0;
  DType dtype = DType::kBFloat16;
  const std::int32_t* pages = nullptr;    // dense: row of the block table
  std::int64_t pages_step = 1;            // elements
  const std::int32_t* columns = nullptr;  // top-k: row of the index array; -1 is no key
  std::int64_t columns_step = 1;          // elements
};

/// Rows [row_begin, row_begin + num_rows) of one (request, KV head) against keys
/// [kv_begin, kv_end). Row r is head r % group_size of query token r / group_size.
struct TileTask {
  const std::byte* q = nullptr;  // query token 0, first head of the group
  DType q_dtype = DType::kBFloat16;
  std::int64_t q_token_stride = 0;
  std::int64_t q_head_stride = 0;
  std::int32_t row_begin = 0;
  std::int32_t num_rows = 0;
  std::int32_t group_size = 1;
  std::int32_t d_qk = 0;
  std::int32_t d_v = 0;
  float scale_log2 = 0;  // softmax scale * log2(e)
  KeySource keys;
  std::int64_t kv_begin = 0;
  std::int64_t kv_end = 0;
  /// Keys that query token 0 sees; token i sees first_limit + i. Everything where not causal.
  std::int64_t first_limit = 0;
  bool is_causal = false;
};

/// The online-softmax state of a tile's rows, in the kernel's scratch memory.
struct TileState {
  const float* o = nullptr;       // [num_rows, o_stride], not yet divided by l
  std::int64_t o_stride = 0;      // elements
  const float* m_log2 = nullptr;  // [num_rows], -inf where a row saw no key
  const float* l = nullptr;       // [num_rows]
};

/// out[0 .. num_elements) = sum over sources of weight[i] * source[i], rounded to dtype.
struct MixTask {
  const float* const* sources = nullptr;
  const float* weights = nullptr;
  std::int32_t num_sources = 0;
  std::int32_t num_elements = 0;
  void* out = nullptr;
  DType dtype = DType::kFloat32;
};

/// The kernels of one instruction set.
struct TileKernels {
  std::int32_t rows_per_tile = 0;
  /// Bytes of scratch that accumulate needs, for heads of d_qk and d_v dimensions.
  std::size_t (*scratch_bytes)(std::int32_t d_qk, std::int32_t d_v) = nullptr;
  /// softmax(scale q k^T) v as a state that can be merged. scratch is 64-byte aligned.
  TileState (*accumulate)(const TileTask& task, std::byte* scratch) = nullptr;
  void (*mix)(const MixTask& task) = nullptr;
};

// One table an instruction set; null where the build or the processor family has none.
extern const TileKernels* const kGenericKernels;
extern const TileKernels* const kAvx2Kernels;
extern const TileKernels* const kAvx512Kernels;
extern const TileKernels* const kAvx512Bf16Kernels;

}  // namespace seesaw::cpu
