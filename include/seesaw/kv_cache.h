// Operations on a paged latent cache: append new tokens, gather requests' tokens, convert, copy
// pages. None allocates; all are synchronous. The arrays of one call must not overlap each other.
// float32, bfloat16 and float16 are converted into each other, rounding to nearest, ties to even;
// a NaN stays a NaN, and between equal types bits are copied.
#pragma once

#include <span>

#include "seesaw/executor.h"
#include "seesaw/types/export.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/page_copy.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw {

/// Writes new tokens into their slots.
struct AppendArgs {
  ConstTensorView latent{};  // [num_tokens, h_kv, d_latent], float32, bfloat16 or float16
  ConstTensorView rope{};    // [num_tokens, h_kv, d_rope], same type, or not given (d_rope = 0)
  /// int64 [num_tokens], any stride: page * page_size + offset; -1 skips a token. Of several tokens
  /// for one slot the last one stays, whatever the number of threads.
  ConstTensorView slot_mapping{};
  TensorView kv_cache{};  // [num_pages, page_size, h_kv, d_latent + d_rope], unit last stride
};

/// Every slot is checked before anything is written; num_tokens = 0 is a no-op.
/// Errors: kInvalidArgument (shapes, types), kUnsupported (a quantized format), kCorruptData (first
/// slot outside the pool, with its position).
SEESAW_API Status append(const AppendArgs& args, KvFormat format, Executor& executor);

/// Reads requests' tokens in order into one contiguous array.
struct GatherArgs {
  ConstTensorView kv_cache{};       // [num_pages, page_size, h_kv, d_qk], unit last stride
  ConstTensorView block_table{};    // int32 [b, max_pages]; entries beyond a request are not read
  ConstTensorView cache_seqlens{};  // int32 [b]
  /// [sum of cache_seqlens, h_kv, d_qk], any of the three float types, unit last stride
  TensorView out{};
};

/// Every length and page is checked before anything is written.
/// Errors: kInvalidArgument (shapes, types), kUnsupported (a quantized format), kCorruptData (first
/// page or length out of range, with its position).
SEESAW_API Status gather(const GatherArgs& args, KvFormat format, Executor& executor);

/// Rewrites whole pages from one format into another: [num_pages, page_size, h_kv, d_qk] each.
/// Errors: kInvalidArgument (shapes, types), kUnsupported (a quantized format).
SEESAW_API Status convert(const ConstTensorView& from, KvFormat from_format, const TensorView& to,
                          KvFormat to_format, Executor& executor);

/// Makes the copies that PageAllocator::extend asks for, as if one after the other.
/// kv_cache is [num_pages, page_size, h_kv, d_qk], unit last stride.
/// Errors: kInvalidArgument (shapes, types), kUnsupported (a quantized format), kCorruptData (first
/// copy with a page or count out of range; nothing is copied).
SEESAW_API Status copy_pages(std::span<const PageCopy> copies, const TensorView& kv_cache,
                             KvFormat format, Executor& executor);

}  // namespace seesaw
