// Each row breaks one thing of a valid problem and names what the message must say.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "algorithm/online_softmax.h"
#include "seesaw/plan.h"

namespace seesaw {
namespace {

using ::testing::HasSubstr;

struct PlanInput {
  AttentionProblem problem;
  DeviceSpec device;
  std::vector<std::int32_t> kv_lengths = {5, 0, 9};
  std::vector<std::int32_t> q_lengths;
  PlanOptions options;
};

PlanInput valid_decode() {
  PlanInput input;
  input.problem = {.phase = Phase::kDecode,
                   .batch = 3,
                   .s_q = 2,
                   .h_q = 6,
                   .h_kv = 2,
                   .d_qk = 24,
                   .d_v = 16,
                   .page_size = 4};
  input.device.num_workers = 2;
  return input;
}

PlanInput valid_prefill() {
  PlanInput input = valid_decode();
  input.problem.phase = Phase::kPrefill;
  input.problem.s_q = 4;
  input.q_lengths = {4, 0, 1};
  return input;
}

PlanInput valid_top_k() {
  PlanInput input = valid_decode();
  input.problem.sparsity = Sparsity::kTopK;
  input.problem.top_k = 7;
  input.kv_lengths.clear();
  return input;
}

Status plan_status(const PlanInput& input) {
  return plan(input.problem, input.device, input.kv_lengths, input.q_lengths, input.options)
      .status();
}

struct BrokenRow {
  const char* name;
  PlanInput (*valid)();
  std::function<void(PlanInput&)> breakage;
  const char* message;
  StatusCode code = StatusCode::kInvalidArgument;
};

void PrintTo(const BrokenRow& row, std::ostream* os) { *os << row.name; }

class BrokenPlanInput : public ::testing::TestWithParam<BrokenRow> {};

TEST_P(BrokenPlanInput, IsRefusedWithNameActualAndExpected) {
  PlanInput input = GetParam().valid();
  ASSERT_TRUE(plan_status(input).is_ok()) << plan_status(input).message();
  GetParam().breakage(input);
  const Status status = plan_status(input);
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

const BrokenRow kProblemRows[] = {
    {"Batch", valid_decode, [](PlanInput& in) { in.problem.batch = -1; },
     "problem.batch: is -1, must be >= 0"},
    {"BatchOverInt32", valid_decode, [](PlanInput& in) { in.problem.batch = kInt32Max + 1; },
     "problem.batch: is 2147483648, must be in [0, 2147483647]"},
    {"SQ", valid_decode, [](PlanInput& in) { in.problem.s_q = -7; },
     "problem.s_q: is -7, must be >= 0"},
    {"HQZero", valid_decode, [](PlanInput& in) { in.problem.h_q = 0; },
     "problem.h_q: is 0, must be >= 1"},
    {"HKvZero", valid_decode, [](PlanInput& in) { in.problem.h_kv = 0; },
     "problem.h_kv: is 0, must be >= 1"},
    {"HQNoMultiple", valid_decode, [](PlanInput& in) { in.problem.h_q = 7; },
     "problem.h_q: is 7, must be a multiple of h_kv = 2"},
    {"DQkZero", valid_decode, [](PlanInput& in) { in.problem.d_qk = 0; },
     "problem.d_qk: is 0, must be in [1, 1024]"},
    {"DQkTooWide", valid_decode, [](PlanInput& in) { in.problem.d_qk = 1025; },
     "problem.d_qk: is 1025, must be in [1, 1024]"},
    {"DVZero", valid_decode, [](PlanInput& in) { in.problem.d_v = 0; },
     "problem.d_v: is 0, must be in [1, 1024]"},
    {"DVWiderThanDQk", valid_decode, [](PlanInput& in) { in.problem.d_v = 25; },
     "problem.d_v: is 25, must be <= d_qk = 24"},
    {"PageSize", valid_decode, [](PlanInput& in) { in.problem.page_size = 0; },
     "problem.page_size: is 0, must be >= 1"},
    {"QDtype", valid_decode, [](PlanInput& in) { in.problem.q_dtype = DType::kInt32; },
     "problem.q_dtype: is int32, must be float32, bfloat16 or float16"},
    {"OutDtype", valid_decode, [](PlanInput& in) { in.problem.out_dtype = DType::kFloat8E4M3; },
     "problem.out_dtype: is float8_e4m3, must be float32, bfloat16 or float16"},
    {"KvFormat", valid_decode, [](PlanInput& in) { in.problem.kv_format = KvFormat::kFp8V32; },
     "problem.kv_format: is fp8_v32, must be float32, bfloat16 or float16",
     StatusCode::kUnsupported},
    {"ScaleNaN", valid_decode, [](PlanInput& in) { in.problem.softmax_scale = NAN; },
     "problem.softmax_scale: is nan, must be finite"},
    {"ScaleInfinite", valid_decode, [](PlanInput& in) { in.problem.softmax_scale = -kInfinity; },
     "problem.softmax_scale: is -inf, must be finite"},
    {"ScaleOverflowsInLog2Units", valid_decode,
     [](PlanInput& in) { in.problem.softmax_scale = 2.4e38f; },
     "problem.softmax_scale: is 2.4e+38, must be in [-2.35866e+38, 2.35866e+38]: its product with "
     "log2(e) must be a finite float32"},
    {"ScaleOverflowsBelow", valid_top_k,
     [](PlanInput& in) { in.problem.softmax_scale = std::numeric_limits<float>::lowest(); },
     "problem.softmax_scale: is -3.4028235e+38, must be in [-2.35866e+38, 2.35866e+38]"},
    {"PhaseNumber", valid_decode, [](PlanInput& in) { in.problem.phase = static_cast<Phase>(2); },
     "problem.phase: is 2, must be in [0, 1]"},
    {"MaskNumber", valid_decode, [](PlanInput& in) { in.problem.mask = static_cast<Mask>(9); },
     "problem.mask: is 9, must be in [0, 1]"},
    {"SparsityNumber", valid_decode,
     [](PlanInput& in) { in.problem.sparsity = static_cast<Sparsity>(2); },
     "problem.sparsity: is 2, must be in [0, 1]"},
    {"KvFormatNumber", valid_decode,
     [](PlanInput& in) { in.problem.kv_format = static_cast<KvFormat>(7); },
     "problem.kv_format: is 7, must be in [0, 6]"},
    {"DenseTopK", valid_decode, [](PlanInput& in) { in.problem.top_k = 64; },
     "problem.top_k: is 64, must be 0 where sparsity is dense"},
    {"TopKZero", valid_top_k, [](PlanInput& in) { in.problem.top_k = 0; },
     "problem.top_k: is 0, must be >= 1"},
    {"TopKCausal", valid_top_k, [](PlanInput& in) { in.problem.mask = Mask::kCausal; },
     "problem.mask: is causal, must be none where sparsity is top-k"},
    {"RowsOverInt32", valid_decode, [](PlanInput& in) { in.problem.s_q = kInt32Max; },
     "problem.s_q: is 2147483647, must be <= 715827882"},
    {"ElementsOverInt64", valid_decode,
     [](PlanInput& in) {
       in.problem.batch = kInt32Max;
       in.problem.h_q = in.problem.h_kv = kInt32Max;
     },
     "problem.batch: is 2147483647, must leave the bytes of q [2147483647, 2, 2147483647, 24]"},
    {"IndicesOverInt64", valid_top_k,
     [](PlanInput& in) {
       in.problem.batch = kInt32Max;
       in.problem.top_k = kInt32Max;
     },
     "problem.top_k: is 2147483647, must leave the bytes of indices"},
};
INSTANTIATE_TEST_SUITE_P(Problem, BrokenPlanInput, ::testing::ValuesIn(kProblemRows),
                         [](const auto& row) { return row.param.name; });

const BrokenRow kLengthRows[] = {
    {"KvCount", valid_decode, [](PlanInput& in) { in.kv_lengths.pop_back(); },
     "kv_lengths.size(): is 2, must be b = 3"},
    {"KvCountNone", valid_decode, [](PlanInput& in) { in.kv_lengths.clear(); },
     "kv_lengths.size(): is 0, must be b = 3"},
    {"KvNegative", valid_decode, [](PlanInput& in) { in.kv_lengths[2] = -5; },
     "kv_lengths[2]: is -5, must be >= 0"},
    {"DecodeQLengths", valid_decode,
     [](PlanInput& in) {
       in.q_lengths = {2, 2, 2};
     },
     "q_lengths.size(): is 3, must be 0 for decode"},
    {"PrefillQCount", valid_prefill, [](PlanInput& in) { in.q_lengths.push_back(1); },
     "q_lengths.size(): is 4, must be b = 3"},
    {"PrefillQNegative", valid_prefill, [](PlanInput& in) { in.q_lengths[1] = -1; },
     "q_lengths[1]: is -1, must be in [0, s_q = 4]"},
    {"PrefillQOverSQ", valid_prefill, [](PlanInput& in) { in.q_lengths[2] = 5; },
     "q_lengths[2]: is 5, must be in [0, s_q = 4]"},
    {"Workers", valid_decode, [](PlanInput& in) { in.device.num_workers = 0; },
     "device.num_workers: is 0, must be >= 1"},
    {"DeviceKindNumber", valid_decode,
     [](PlanInput& in) { in.device.kind = static_cast<DeviceKind>(3); },
     "device.kind: is 3, must be in [0, 1]"},
    {"IsaNumber", valid_decode, [](PlanInput& in) { in.device.cpu_isa = static_cast<CpuIsa>(4); },
     "device.cpu_isa: is 4, must be in [0, 3]"},
    {"Cuda", valid_decode, [](PlanInput& in) { in.device.kind = DeviceKind::kCuda; },
     "portable_decode_dense: passed over, needs sm_80 or newer, the device has sm_0",
     StatusCode::kUnsupported},
    {"ModeNumber", valid_decode,
     [](PlanInput& in) { in.options.mode = static_cast<ScheduleMode>(3); },
     "options.mode: is 3, must be in [0, 2]"},
    {"SplitsZero", valid_decode, [](PlanInput& in) { in.options.num_splits = 0; },
     "options.num_splits: is 0, must be >= 1"},
};
INSTANTIATE_TEST_SUITE_P(LengthsDeviceOptions, BrokenPlanInput, ::testing::ValuesIn(kLengthRows),
                         [](const auto& row) { return row.param.name; });

TEST(PlanInput, MayBeAnyShapeOfTheContract) {
  for (const std::int64_t h_q : {1, 3, 127, 128, 1000}) {
    for (const std::int64_t d_qk : {1, 2, 17, 576, 1024}) {
      for (const std::int64_t page_size : {std::int64_t{1}, std::int64_t{3}, kInt32Max}) {
        PlanInput input = valid_decode();
        input.problem.h_q = h_q;
        input.problem.h_kv = 1;
        input.problem.d_qk = d_qk;
        input.problem.d_v = d_qk;
        input.problem.page_size = page_size;
        const Status status = plan_status(input);
        EXPECT_TRUE(status.is_ok()) << status.message();
      }
    }
  }
}

TEST(PlanInput, ScaleMayBeZeroNegativeOrLargeAsLongAsItsLog2UnitsAreFinite) {
  for (const float scale : {0.0f, -0.25f, 2.358e38f, -2.358e38f}) {
    ASSERT_TRUE(std::isfinite(algorithm::log2_scale(scale)));
    for (PlanInput input : {valid_decode(), valid_top_k()}) {
      input.problem.softmax_scale = scale;
      EXPECT_TRUE(plan_status(input).is_ok());
    }
  }
  ASSERT_TRUE(std::isinf(algorithm::log2_scale(2.4e38f)));  // what is refused above
}

TEST(PlanInput, TopKIgnoresKvLengths) {
  PlanInput input = valid_top_k();
  input.kv_lengths = {-3};
  EXPECT_TRUE(plan_status(input).is_ok());
}

TEST(PlanInput, ProductsThatOverflowAreRefusedNotWrapped) {
  PlanInput input = valid_decode();
  input.problem.batch = kInt64Max;
  EXPECT_EQ(plan_status(input).code(), StatusCode::kInvalidArgument);
  input.problem.batch = 3;
  input.problem.s_q = kInt64Max;
  EXPECT_EQ(plan_status(input).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace seesaw
