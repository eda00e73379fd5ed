// Moves tokens into, out of and between paged caches, converting between float types. Arguments
// have been validated: every page and slot lies within its array, nothing overlaps, and no cache or
// output is without elements.
#pragma once

#include <cstdint>
#include <span>

#include "hardware/cpu/thread_pool.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/dtype.h"
#include "seesaw/types/page_copy.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw::cpu {

/// to[i] = from[i], rounded to nearest, ties to even, bit for bit as seesaw/types/dtype.h does it;
/// between equal types the bits are copied.
using ElementConverter = void (*)(const void* from, void* to, std::int64_t num_elements);

/// Both types are float32, bfloat16 or float16. All instruction sets give the same bits.
ElementConverter element_converter(DType from, DType to, CpuIsa isa);

struct AppendRows {
  ConstTensorView latent;        // [num_tokens, h_kv, d_latent]
  ConstTensorView rope;          // [num_tokens, h_kv, d_rope], or rank 0
  ConstTensorView slot_mapping;  // int64 [num_tokens]; -1 skips the token
  TensorView kv_cache;           // [num_pages, page_size, h_kv, d_latent + d_rope]
};
/// Of several tokens for one slot the last one stays, whatever the number of threads.
void launch_append(const AppendRows& rows, ThreadPool& pool);

struct GatherRows {
  ConstTensorView kv_cache;       // [num_pages, page_size, h_kv, d_qk]
  ConstTensorView block_table;    // int32 [b, max_pages]
  ConstTensorView cache_seqlens;  // int32 [b]
  TensorView out;                 // [sum of cache_seqlens, h_kv, d_qk]
};
void launch_gather(const GatherRows& rows, ThreadPool& pool);

/// Every token of `from` to the same place in `to`: [num_pages, page_size, h_kv, d_qk] each.
void launch_convert(const ConstTensorView& from, const TensorView& to, ThreadPool& pool);

/// As if one copy were made after the other: a page may be written by one and read by a later one.
void launch_copy_pages(std::span<const PageCopy> copies, const TensorView& kv_cache,
                       ThreadPool& pool);

}  // namespace seesaw::cpu
