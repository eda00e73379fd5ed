// What is measured: the shapes, threads and instruction sets, in groups that share their inputs
// and are measured in turn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"

namespace seesaw::bench {

/// One request of batch 1 over pages of 64 tokens, d_qk 576, d_v 512.
struct Work {
  Phase phase = Phase::kDecode;
  std::int64_t h_q = 0;
  std::int64_t s_q = 1;
  std::int64_t s_k = 0;
  Mask mask = Mask::kNone;
  DType q_dtype = DType::kBFloat16;  // of the output too
  KvFormat kv_format = KvFormat::kBFloat16;

  static constexpr std::int64_t kDQk = 576;
  static constexpr std::int64_t kDV = 512;
  static constexpr std::int64_t kPageSize = 64;

  std::int64_t num_rows() const { return h_q * s_q; }
  /// Keys that query token `query` sees.
  std::int64_t num_visible(std::int64_t query) const {
    return mask == Mask::kCausal ? s_k - s_q + 1 + query : s_k;
  }
  /// 2 (d_qk + d_v) for each pair of a row and a key it sees.
  double flops() const;
  /// The latent, counted once.
  double kv_bytes() const;
  AttentionProblem problem() const;
  /// "decode h_q 16 s_k 4096", and what differs from bfloat16 and no mask.
  std::string name() const;
};

struct WorkGroup {
  Work work;
  std::vector<CpuIsa> isas;  // Seesaw's kernels to measure
  bool has_onednn = true;    // baselines to measure beside them
  bool has_openblas = true;
};

/// The whole list for a CPU whose best instruction set is `best`.
std::vector<WorkGroup> work_list(CpuIsa best);

}  // namespace seesaw::bench
