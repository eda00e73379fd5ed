// Operations on a paged latent cache: append new tokens, gather a request's tokens, convert.
#pragma once

#include "seesaw/executor.h"
#include "seesaw/types/export.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw {

/// Writes new tokens into their slots, rounding to the cache's type (nearest, ties to even).
struct AppendArgs {
  ConstTensorView latent{};  // [num_tokens, h_kv, d_latent], float32, bfloat16 or float16
  ConstTensorView rope{};    // [num_tokens, h_kv, d_rope], same type, or not given (d_rope = 0)
  ConstTensorView
      slot_mapping{};     // int64 [num_tokens]: page * page_size + offset; -1 skips a token
  TensorView kv_cache{};  // [num_pages, page_size, h_kv, d_latent + d_rope], unit last stride
};

/// Every slot is checked before anything is written. Errors: kInvalidArgument (shapes, types),
/// kCorruptData (first slot outside the pool, with its position).
SEESAW_API Status append(const AppendArgs& args, KvFormat format, Executor& executor);

/// Reads requests' tokens in order into one contiguous array.
struct GatherArgs {
  ConstTensorView kv_cache{};       // [num_pages, page_size, h_kv, d_qk]
  ConstTensorView block_table{};    // int32 [b, max_pages]
  ConstTensorView cache_seqlens{};  // int32 [b]
  TensorView out{};  // [sum of cache_seqlens, h_kv, d_qk], any of the three float types
};

/// Errors: kInvalidArgument, kCorruptData (first page or length out of range).
SEESAW_API Status gather(const GatherArgs& args, KvFormat format, Executor& executor);

/// Rewrites whole pages from one format into another: [num_pages, page_size, h_kv, d_qk] each.
SEESAW_API Status convert(const ConstTensorView& from, KvFormat from_format, const TensorView& to,
                          KvFormat to_format, Executor& executor);

}  // namespace seesaw
