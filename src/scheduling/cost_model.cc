#include "scheduling/cost_model.h"

#include <algorithm>

namespace seesaw::scheduling {
namespace {

// The shape that the table below is measured at.
constexpr std::int64_t kMeasuredDQk = 576;
constexpr std::int64_t kMeasuredDV = 512;

// Picoseconds on one worker, as benchmarks/scheduling/measure_costs.cc measures them (one core of
// an AMD EPYC, Zen 5, 2.6 GHz base; page_size 64, cold cache; rounded from two runs that agreed
// within a quarter where a constant matters):
//   token, token_row    time against s_k, for h_q = 16 and 64: the line through the two slopes
//   item_row            time against b at s_k = 1, for h_q = 16 and 64, less that of the token
//   item_fixed          time of one more split, of which there are 16 at s_k = 4,096: its first
//                       block of keys comes from memory with nothing to hide behind
//   slot_row,           what a split costs a row beyond item_row: written once and read once, half
//   combine_split_row   each. Too little to measure in some kernels, then that of the others
// row_step is not measured: it is the kernel's number of rows in a vector or in a matrix product.
// clang-format off
//                                    item_fixed  item_row   token  token_row  slot_row  combine_  combine_   row_
//                                                                                          fixed split_row   step
constexpr CostModel kCpuAvx512Bf16 = {  5'000'000,  150'000,  5'500,     4'650,   30'000,  300'000,   30'000,   16};
constexpr CostModel kCpuAvx512     = {  6'000'000,  185'000, 25'500,     9'000,   30'000,  300'000,   30'000,   16};
constexpr CostModel kCpuAvx2       = {  7'000'000,  335'000, 31'000,    19'500,   30'000,  300'000,   30'000,    8};
constexpr CostModel kCpuGeneric    = {  7'000'000, 1'070'000, 176'000,  58'400,   30'000,  300'000,   30'000,    4};
// Not measured yet, for there is no kernel:
// A streaming multiprocessor, whose copies and products overlap.
constexpr CostModel kCudaSm        = {  2'500'000,    5'000, 45'000,       160,    6'000,  500'000,    1'500,   64};
// clang-format on

const CostModel& measured(DeviceKind kind, CpuIsa isa) {
  if (kind == DeviceKind::kCuda) return kCudaSm;
  switch (isa) {
    case CpuIsa::kAvx512Bf16:
      return kCpuAvx512Bf16;
    case CpuIsa::kAvx512:
      return kCpuAvx512;
    case CpuIsa::kAvx2:
      return kCpuAvx2;
    case CpuIsa::kGeneric:
      break;
  }
  return kCpuGeneric;
}

std::int64_t scaled(std::int64_t cost, std::int64_t size, std::int64_t measured_size) {
  return std::max<std::int64_t>(1, (cost * size + measured_size / 2) / measured_size);
}

}  // namespace

CostModel cost_model(const AttentionProblem& problem, DeviceKind kind, CpuIsa isa) {
  // Far beyond what validation admits, and the products below stay in 64 bits.
  constexpr std::int64_t kMostDims = 1 << 20;
  const std::int64_t d_qk = std::clamp<std::int64_t>(problem.d_qk, 1, kMostDims);
  const std::int64_t d_v = std::clamp<std::int64_t>(problem.d_v, 1, kMostDims);
  CostModel cost = measured(kind, isa);
  cost.token = scaled(cost.token, d_qk, kMeasuredDQk);
  cost.token_row = scaled(cost.token_row, d_qk + d_v, kMeasuredDQk + kMeasuredDV);
  cost.item_row = scaled(cost.item_row, d_qk + d_v, kMeasuredDQk + kMeasuredDV);
  cost.slot_row = scaled(cost.slot_row, d_v, kMeasuredDV);
  cost.combine_split_row = scaled(cost.combine_split_row, d_v, kMeasuredDV);
  return cost;
}

}  // namespace seesaw::scheduling
