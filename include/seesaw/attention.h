// The verbs that compute: decode and prefill over a paged latent cache.
#pragma once

#include <cstddef>
#include <span>

#include "seesaw/executor.h"
#include "seesaw/types/export.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

enum class DataCheck : std::uint8_t {
  kTrust,   // the plan, block_table, indices and lengths are taken as they are
  kVerify,  // each is checked before it is used; the first bad entry is reported, none is followed
};

/// Arguments that decode and prefill share. An optional view that is not given has rank 0.
struct CacheArgs {
  /// Paged cache [num_pages, page_size, h_kv, d_qk], any strides with a unit last one: pages may
  /// be slices of a larger buffer. Slots that no request references are never read.
  ConstTensorView kv_cache{};
  /// int32 [b, max_pages]: page of each page_size tokens; entries beyond a request's length are
  /// never read. Dense only.
  ConstTensorView block_table{};
  /// int32 or nothing; kTopK only: [num query tokens.., top_k] (decode [b, s_q, top_k], prefill
  /// [total_q, top_k]), each page * page_size + offset, or -1 for none, anywhere in the row.
  ConstTensorView indices{};
  /// int32 [b] or nothing; kTopK only: only that many leftmost columns count, the rest is not read.
  ConstTensorView top_k_lengths{};
  /// float32 [h_q], natural log; iff problem.has_attn_sink. out is multiplied by
  /// exp(lse) / (exp(lse) + exp(sink)); lse is returned without it.
  ConstTensorView attn_sink{};
};

struct DecodeArgs {
  ConstTensorView q{};  // [b, s_q, h_q, d_qk], unit last stride
  CacheArgs cache{};
  TensorView out{};  // [b, s_q, h_q, d_v], unit last stride
  TensorView lse{};  // float32 [b, h_q, s_q], any strides, or not given. Natural log
  std::span<std::byte> workspace{};  // at least plan.workspace_bytes, 64-byte aligned
};

struct PrefillArgs {
  ConstTensorView q{};  // [total_q, h_q, d_qk]: requests' tokens one after the other
  CacheArgs cache{};
  TensorView out{};         // [total_q, h_q, d_v]
  TensorView lse{};         // float32 [total_q, h_q], any strides, or not given. Natural log
  TensorView max_logits{};  // float32 [total_q, h_q] or not given: the largest scaled score
  std::span<std::byte> workspace{};
};

/// softmax(scale * Q K^T) V for plan.problem, lengths as planned. Synchronous on the CPU; nothing
/// is allocated. A query that sees no key gets out = 0 and lse = +infinity (max_logits
/// -infinity). b = 0 or s_q = 0 is a no-op (of views that fit). Accuracy: see docs/mla.md, "Error
/// bounds". Errors: kInvalidArgument (a view that does not fit plan.problem), kWorkspaceTooSmall,
/// kCorruptData (with DataCheck::kVerify), kUnsupported (the plan's kernel cannot run here).
SEESAW_API Status decode(const WorkPlan& plan, const DecodeArgs& args, Executor& executor,
                         DataCheck check = DataCheck::kTrust);

/// The same for a packed batch of chunks; request i brings plan.q_lengths[i] query tokens.
SEESAW_API Status prefill(const WorkPlan& plan, const PrefillArgs& args, Executor& executor,
                          DataCheck check = DataCheck::kTrust);

}  // namespace seesaw
