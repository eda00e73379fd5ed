#include "scheduling/cost_model.h"

#include <algorithm>

namespace seesaw::scheduling {
namespace {

// The shape that the table below is measured at.
constexpr std::int64_t kMeasuredDQk = 576;
constexpr std::int64_t kMeasuredDV = 512;

// Picoseconds on one worker, PROVISIONAL until measured with the attention benchmark on the machine
// a backend is tuned on. Each number is one slope, found with one worker, page_size 64, cold cache:
//   token, token_row        time against s_k (4,096 and 16,384), for h_q = 16 and h_q = 128: the
//                           line through the two slopes over h_q is token + token_row * h_q
//   item_fixed, item_row    time against b at s_k = 1, for h_q = 16 and 128; the line through the
//                           two slopes, less one token
//   slot_row + item_*       time of the items against num_splits (1 .. 16, forced) at s_k = 4,096
//   combine_fixed,          time of the merge alone against num_splits (2 .. 16), for h_q = 16 and
//   combine_split_row       128: intercept and slope a row
// row_step is not measured: it is the kernel's number of rows in a vector or in a matrix product.
// clang-format off
//                                    item_fixed  item_row   token  token_row  slot_row  combine_  combine_   row_
//                                                                                          fixed split_row   step
constexpr CostModel kCpuAvx512Bf16 = {  1'500'000,  150'000, 21'700,    10'090,  100'000,  300'000,  120'000,   16};
constexpr CostModel kCpuAvx512     = {  1'500'000,  200'000, 30'000,    20'200,  100'000,  300'000,  120'000,   16};
constexpr CostModel kCpuAvx2       = {  1'500'000,  250'000, 40'000,    40'400,  120'000,  300'000,  140'000,    8};
constexpr CostModel kCpuGeneric    = {  1'500'000,  400'000, 80'000,   300'000,  200'000,  300'000,  250'000,    1};
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
