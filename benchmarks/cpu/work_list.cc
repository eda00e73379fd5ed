#include "cpu/work_list.h"

#include <fmt/format.h>

namespace seesaw::bench {

double Work::flops() const {
  double pairs = 0;
  for (std::int64_t query = 0; query < s_q; ++query) {
    pairs += static_cast<double>(h_q * num_visible(query));
  }
  return 2.0 * pairs * static_cast<double>(kDQk + kDV);
}

double Work::kv_bytes() const {
  const std::size_t element_bytes = size_bytes(plain_dtype(kv_format).value());
  return static_cast<double>(s_k * kDQk) * static_cast<double>(element_bytes);
}

AttentionProblem Work::problem() const {
  AttentionProblem problem;
  problem.phase = phase;
  problem.batch = 1;
  problem.s_q = s_q;
  problem.h_q = h_q;
  problem.d_qk = kDQk;
  problem.d_v = kDV;
  problem.page_size = kPageSize;
  problem.q_dtype = q_dtype;
  problem.out_dtype = q_dtype;
  problem.kv_format = kv_format;
  problem.mask = mask;
  return problem;
}

std::string Work::name() const {
  std::string name = phase == Phase::kDecode
                         ? fmt::format("decode h_q {} s_k {}", h_q, s_k)
                         : fmt::format("prefill h_q {} s_q {} s_k {}", h_q, s_q, s_k);
  if (mask == Mask::kCausal) name += " causal";
  if (q_dtype != DType::kBFloat16) name += fmt::format(", q {}", to_string(q_dtype));
  if (kv_format != KvFormat::kBFloat16) name += fmt::format(", cache {}", to_string(kv_format));
  return name;
}

std::vector<WorkGroup> work_list(CpuIsa best) {
  std::vector<WorkGroup> groups;
  for (std::int64_t h_q : {128, 16}) {
    for (std::int64_t s_k : {1024, 4096, 16384}) {
      groups.push_back({.work = {.h_q = h_q, .s_k = s_k}, .isas = {best}});
    }
  }
  for (Mask mask : {Mask::kNone, Mask::kCausal}) {
    groups.push_back(
        {.work = {.phase = Phase::kPrefill, .h_q = 16, .s_q = 128, .s_k = 4096, .mask = mask},
         .isas = {best}});
  }
  // The kernels that a lesser CPU would run, on the same cache.
  std::vector<CpuIsa> lesser;
  for (CpuIsa isa : {CpuIsa::kAvx512, CpuIsa::kAvx2, CpuIsa::kGeneric}) {
    if (isa < best) lesser.push_back(isa);
  }
  if (!lesser.empty()) {
    for (std::int64_t h_q : {128, 16}) {
      groups.push_back({.work = {.h_q = h_q, .s_k = 4096}, .isas = lesser, .has_onednn = false});
    }
  }
  // A float32 cache, and the shapes of an engine that keeps its activations in float32. Products
  // of bfloat16 pairs do not serve those, so the instruction set below serves.
  const CpuIsa wide = best == CpuIsa::kAvx512Bf16 ? CpuIsa::kAvx512 : best;
  const auto float32 = DType::kFloat32;
  groups.push_back(
      {.work = {.h_q = 16, .s_k = 4096, .q_dtype = float32, .kv_format = KvFormat::kFloat32},
       .isas = {wide}});
  groups.push_back({.work = {.h_q = 8, .s_k = 1024}, .isas = {best}});
  groups.push_back(
      {.work = {.h_q = 8, .s_k = 1024, .q_dtype = float32}, .isas = {wide}, .has_onednn = false});
  groups.push_back(
      {.work = {.h_q = 8, .s_k = 1024, .q_dtype = float32, .kv_format = KvFormat::kFloat32},
       .isas = {wide}});
  return groups;
}

}  // namespace seesaw::bench
