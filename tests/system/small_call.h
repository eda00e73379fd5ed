// A small valid call with its arrays, for tests that break or bend one thing of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "seesaw/attention.h"
#include "seesaw/executor.h"
#include "seesaw/plan.h"
#include "support/attention_case.h"
#include "support/seed.h"

namespace seesaw::testing {

/// 64-byte aligned memory; starts as garbage.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t num_bytes = 0) : memory_(num_bytes + 63, std::byte{0xa5}) {
    const auto past = reinterpret_cast<std::uintptr_t>(memory_.data()) % 64;
    bytes_ = std::span(memory_).subspan(past == 0 ? 0 : 64 - past, num_bytes);
  }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> memory_;
  std::span<std::byte> bytes_;
};

/// Plan and workspace of a case for the generic kernel, with both kinds of arguments ready.
struct SmallCall {
  explicit SmallCall(const CaseSpec& spec, const PlanOptions& options = {},
                     CpuIsa isa = CpuIsa::kGeneric, int num_workers = 2)
      : rng(make_rng()), arrays(spec, rng) {
    DeviceSpec device;
    device.cpu_isa = isa;
    device.num_workers = num_workers;
    plan = seesaw::plan(arrays.problem(), device, arrays.spec().kv_lengths, arrays.spec().q_lengths,
                        options)
               .value();
    workspace = AlignedBytes(plan.workspace_bytes);
    decode = arrays.decode_args();
    prefill = arrays.prefill_args();
    decode.workspace = prefill.workspace = workspace.bytes();
  }
  SmallCall(const SmallCall&) = delete;
  SmallCall& operator=(const SmallCall&) = delete;

  Status run(Executor& executor, DataCheck check = DataCheck::kTrust) {
    return plan.problem.phase == Phase::kDecode ? seesaw::decode(plan, decode, executor, check)
                                                : seesaw::prefill(plan, prefill, executor, check);
  }

  Rng rng;
  AttentionCase arrays;
  WorkPlan plan;
  AlignedBytes workspace;
  DecodeArgs decode;
  PrefillArgs prefill;
};

inline CaseSpec small_decode() {
  CaseSpec spec;
  spec.problem = {.phase = Phase::kDecode,
                  .s_q = 2,
                  .h_q = 6,
                  .h_kv = 2,
                  .d_qk = 24,
                  .d_v = 16,
                  .page_size = 4,
                  .q_dtype = DType::kFloat32,
                  .out_dtype = DType::kFloat32,
                  .kv_format = KvFormat::kFloat32};
  spec.kv_lengths = {5, 0, 9};
  return spec;
}

inline CaseSpec small_prefill() {
  CaseSpec spec = small_decode();
  spec.problem.phase = Phase::kPrefill;
  spec.q_lengths = {3, 0, 4};
  return spec;
}

inline CaseSpec small_top_k() {
  CaseSpec spec = small_decode();
  spec.problem.sparsity = Sparsity::kTopK;
  spec.problem.top_k = 7;
  spec.has_top_k_lengths = true;
  return spec;
}

inline CaseSpec with_sink(CaseSpec spec) {
  spec.problem.has_attn_sink = true;
  return spec;
}

}  // namespace seesaw::testing
