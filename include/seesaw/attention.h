// The verbs that compute: prepare, decode and prefill over a paged latent cache.
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

/// Brings a CUDA plan into the workspace, on the device: before the first decode, and again after
/// replan, when lengths on the device have changed, or for another workspace. Only enqueues on the
/// executor's stream, in one launch (a plan made from host lengths: one for each 4 KB of cuts and
/// lengths), without synchronization, and may be captured into a graph.
///   kv_lengths  int32 [b] on the device, any stride, iff plan_for_device_lengths made the plan;
///               a negative length counts as 0
/// A CPU plan needs no preparation: for it nothing happens, and a workspace may be given or not;
/// lengths may not. Errors: kInvalidArgument,
/// kWorkspaceTooSmall, kUnsupported (no CUDA in this build), kDeviceError.
SEESAW_API Status prepare(const WorkPlan& plan, ConstTensorView kv_lengths,
                          std::span<std::byte> workspace, Executor& executor);

/// softmax(scale * Q K^T) V for plan.problem, lengths as planned. On the CPU synchronous; nothing
/// is allocated. On a CUDA device all arrays and the workspace are device memory, the workspace is
/// prepared, and the call only enqueues on the executor's stream: it may be captured into a graph,
/// and errors of its execution show at a later CUDA call. DataCheck::kVerify waits for the stream
/// and cannot be captured. Arrays that the plan's kernel cannot take because of their alignment are
/// computed by the portable one.
///  A query that sees no key gets out = 0 and lse = +infinity (max_logits
/// -infinity). b = 0 or s_q = 0 is a no-op (of views that fit). Accuracy: see docs/mla.md, "Error
/// bounds". Errors: kInvalidArgument (a view that does not fit plan.problem), kWorkspaceTooSmall,
/// kCorruptData (with DataCheck::kVerify), kUnsupported (the plan's kernel cannot run here),
/// kDeviceError (a CUDA call failed: the message has the call, its shape and the device's limit).
SEESAW_API Status decode(const WorkPlan& plan, const DecodeArgs& args, Executor& executor,
                         DataCheck check = DataCheck::kTrust);

/// The same for a packed batch of chunks, on the CPU; request i brings plan.q_lengths[i] query
/// tokens.
SEESAW_API Status prefill(const WorkPlan& plan, const PrefillArgs& args, Executor& executor,
                          DataCheck check = DataCheck::kTrust);

}  // namespace seesaw
