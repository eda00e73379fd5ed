// The seam between system/ and the CPU kernels: validated arguments in, results out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hardware/cpu/thread_pool.h"
#include "seesaw/types/tensor_view.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::cpu {

/// decode and prefill in one form. Query token i of request r stands at
/// q + q_offset(r) + i * q_token_stride; out, lse and max_logits likewise. All strides in elements.
struct AttentionArgs {
  ConstTensorView q;                  // data and dtype; shape unused
  std::int64_t q_request_stride = 0;  // decode; prefill uses q_starts
  std::int64_t q_token_stride = 0;
  std::int64_t q_head_stride = 0;
  ConstTensorView kv_cache;     // [num_pages, page_size, h_kv, d_qk]
  ConstTensorView block_table;  // dense
  ConstTensorView indices;      // kTopK; index row of a query token: request/token strides below
  std::int64_t indices_request_stride = 0;
  std::int64_t indices_token_stride = 0;
  ConstTensorView top_k_lengths;
  const float* attn_sink = nullptr;  // [h_q], stride attn_sink_stride
  std::int64_t attn_sink_stride = 1;
  TensorView out;
  std::int64_t out_request_stride = 0;
  std::int64_t out_token_stride = 0;
  std::int64_t out_head_stride = 0;
  float* lse = nullptr;
  std::int64_t lse_request_stride = 0;
  std::int64_t lse_token_stride = 0;
  std::int64_t lse_head_stride = 0;
  float* max_logits = nullptr;  // strides as lse's own view
  std::int64_t max_logits_request_stride = 0;
  std::int64_t max_logits_token_stride = 0;
  std::int64_t max_logits_head_stride = 0;
  /// Prefill: first query token of each request in the packed arrays, [b]; its product with the
  /// token strides replaces the request strides. Lies in the workspace. Decode: empty.
  std::span<const std::int64_t> q_starts;
  std::byte* workspace = nullptr;  // plan.workspace_bytes, 64-byte aligned
};

/// What a kernel asks of the scheduler, and how much memory of the workspace.
struct KernelTraits {
  std::int32_t rows_per_tile = 0;
  std::int32_t kv_granule = 0;
  std::size_t scratch_bytes_per_worker = 0;
};

/// What the kernels of `isa` ask for; pure.
KernelTraits kernel_traits(const AttentionProblem& problem, CpuIsa isa);

/// Why the kernels of `isa` do not serve `problem`; nullptr if they do. kAvx512Bf16 multiplies
/// bfloat16 pairs and so serves a bfloat16 query on a bfloat16 cache only.
const char* why_not(const AttentionProblem& problem, CpuIsa isa);

/// Runs all items of the plan with the kernels of plan.cpu_isa, then merges split tiles. Arguments
/// have been validated and cpu_supports(plan.cpu_isa) holds.
void launch_attention(const WorkPlan& plan, const AttentionArgs& args, ThreadPool& pool);

}  // namespace seesaw::cpu
