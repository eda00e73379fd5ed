// Selection, explanation and planning again.
#include "seesaw/plan.h"

#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "seesaw/registry.h"
#include "support/run_case.h"
#include "system/registry.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

AttentionProblem decode_problem(DType dtype = DType::kBFloat16) {
  AttentionProblem problem;
  problem.batch = 4;
  set_types(problem, dtype);
  return problem;
}

DeviceSpec device_with(CpuIsa isa, int num_workers = 2) {
  DeviceSpec device;
  device.name = "a CPU whose name is too long for a string's own buffer";
  device.cpu_isa = isa;
  device.num_workers = num_workers;
  return device;
}

const std::vector<std::int32_t> kLengths = {1000, 0, 17, 4096};

TEST(Registry, ListsKernelsInOrderOfPreference) {
  std::vector<std::string> names;
  for (const KernelInfo& kernel : list_kernels()) {
    names.push_back(kernel.name);
    if (kernel.device == DeviceKind::kCuda) continue;
    EXPECT_EQ(kernel.is_supported, cpu_supports(kernel.cpu_isa)) << kernel.name;
    EXPECT_EQ(kernel.name, std::string("cpu_") + to_string(kernel.cpu_isa));
  }
  EXPECT_THAT(names, ElementsAre("sm90_decode_dense", "portable_decode_dense", "cpu_avx512_bf16",
                                 "cpu_avx512", "cpu_avx2", "cpu_generic"));
}

TEST(Registry, AKernelServesExactlyTheFormatsThatItLists) {
  constexpr DType kTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  for (const KernelInfo& kernel : list_kernels()) {
    if (kernel.device == DeviceKind::kCuda) continue;  // system_cuda_plan_test
    for (const DType q_dtype : kTypes) {
      for (const DType kv_dtype : kTypes) {
        AttentionProblem problem = decode_problem();
        problem.q_dtype = q_dtype;
        problem.kv_format = *plain_format(kv_dtype);
        bool is_listed = false;
        for (const KernelFormats& formats : kernel.formats) {
          is_listed |= formats.q_dtype == q_dtype && formats.kv_format == problem.kv_format;
        }
        const auto plan = seesaw::plan(problem, device_with(kernel.cpu_isa), kLengths);
        ASSERT_TRUE(plan.is_ok()) << plan.status().message();
        EXPECT_EQ(plan.value().kernel_name == kernel.name, is_listed)
            << kernel.name << " " << to_string(q_dtype) << " " << to_string(kv_dtype);
      }
    }
  }
  EXPECT_EQ(list_kernels().back().formats.size(), 9u) << "the generic kernel serves everything";
}

TEST(Registry, FindsByName) {
  for (const KernelRow& row : kernel_table()) EXPECT_EQ(find_kernel(row.name), &row);
  EXPECT_EQ(find_kernel("cpu_sse"), nullptr);
  EXPECT_EQ(find_kernel(""), nullptr);
}

TEST(Selection, TakesTheBestThatTheDeviceHasAndSaysWhatItPassedOver) {
  const auto best = plan(decode_problem(), device_with(CpuIsa::kAvx512Bf16), kLengths);
  ASSERT_TRUE(best.is_ok());
  EXPECT_EQ(best.value().kernel_name, "cpu_avx512_bf16");
  EXPECT_EQ(best.value().cpu_isa, CpuIsa::kAvx512Bf16);
  EXPECT_THAT(best.value().reasons, ElementsAre(HasSubstr("cpu_avx512_bf16: taken")));

  const auto lowered = plan(decode_problem(), device_with(CpuIsa::kAvx2), kLengths);
  ASSERT_TRUE(lowered.is_ok());
  EXPECT_EQ(lowered.value().kernel_name, "cpu_avx2");
  EXPECT_THAT(lowered.value().reasons,
              ElementsAre("cpu_avx512_bf16: passed over, needs avx512_bf16, the device has avx2",
                          "cpu_avx512: passed over, needs avx512, the device has avx2",
                          "cpu_avx2: taken, the first in order of preference that serves this"));
}

TEST(Selection, FallsBackFromAKernelThatDoesNotServeTheTypes) {
  const auto mixed =
      plan(decode_problem(DType::kFloat32), device_with(CpuIsa::kAvx512Bf16), kLengths);
  ASSERT_TRUE(mixed.is_ok());
  EXPECT_EQ(mixed.value().kernel_name, "cpu_avx512");
  EXPECT_EQ(mixed.value().cpu_isa, CpuIsa::kAvx512);
  EXPECT_EQ(mixed.value().device.cpu_isa, CpuIsa::kAvx512Bf16) << "the device as it was given";
  EXPECT_THAT(mixed.value().reasons[0], HasSubstr("cpu_avx512_bf16: passed over, it multiplies"));
}

TEST(Explain, TellsKernelReasonsScheduleAndWorkspace) {
  PlanOptions options;
  options.num_splits = 5;
  auto result = plan(decode_problem(), device_with(CpuIsa::kAvx2), kLengths, {}, options);
  ASSERT_TRUE(result.is_ok());
  const WorkPlan& work = result.value();
  const std::string text = explain(work);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("decode: b 4, s_q 1, h_q 128, h_kv 1, d_qk 576, d_v 512"),
            HasSubstr("q bfloat16, cache bfloat16 in pages of 64, out bfloat16, dense, no mask"),
            HasSubstr("scale 0.0416667"), HasSubstr("cpu_avx2 on a CPU whose name"),
            HasSubstr("2 workers"), HasSubstr("cpu_avx512: passed over, needs avx512"),
            HasSubstr("throughput: " + std::to_string(work.items.size()) + " items"),
            HasSubstr("into up to 5 parts: " + std::to_string(work.num_slots)),
            HasSubstr("workspace  " + std::to_string(work.workspace_bytes) + " bytes")));
}

TEST(Explain, WordsEveryKindOfProblem) {
  EXPECT_THAT(explain(SmallCall(small_prefill()).plan),
              AllOf(HasSubstr("prefill: b 3, s_q up to 4"), HasSubstr("dense, no mask")));
  EXPECT_THAT(explain(SmallCall(with_sink(small_top_k())).plan),
              AllOf(HasSubstr("top 7 keys by index"), HasSubstr("attention sink")));
  CaseSpec causal = small_decode();
  causal.problem.mask = Mask::kCausal;
  EXPECT_THAT(explain(SmallCall(causal).plan), HasSubstr("dense, causal"));
  EXPECT_THAT(explain(WorkPlan{}), HasSubstr("kernel     none on an unnamed device"));
}

TEST(Plan, OfNoRequestOrNoTokenIsEmpty) {
  AttentionProblem problem = decode_problem();
  problem.batch = 0;
  const auto no_request = plan(problem, device_with(CpuIsa::kGeneric), {});
  ASSERT_TRUE(no_request.is_ok()) << no_request.status().message();
  EXPECT_TRUE(no_request.value().items.empty());
  EXPECT_EQ(no_request.value().workspace_bytes, 0u);
  problem.batch = 4;
  problem.s_q = 0;
  const auto no_token = plan(problem, device_with(CpuIsa::kGeneric), kLengths);
  ASSERT_TRUE(no_token.is_ok()) << no_token.status().message();
  EXPECT_TRUE(no_token.value().items.empty());
  EXPECT_EQ(no_token.value().workspace_bytes, 0u);
}

bool same_items(const WorkPlan& a, const WorkPlan& b) {
  const auto key = [](const WorkItem& item) {
    return std::vector{item.request_idx, item.kv_head_idx, item.row_begin, item.row_end,
                       item.kv_begin,    item.kv_end,      item.slot_idx};
  };
  if (a.items.size() != b.items.size() || a.worker_begin != b.worker_begin) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (key(a.items[i]) != key(b.items[i])) return false;
  }
  return a.workspace_bytes == b.workspace_bytes && a.num_slots == b.num_slots;
}

TEST(Plan, IsPure) {
  const auto first = plan(decode_problem(), device_with(CpuIsa::kAvx2, 7), kLengths);
  const auto second = plan(decode_problem(), device_with(CpuIsa::kAvx2, 7), kLengths);
  ASSERT_TRUE(first.is_ok() && second.is_ok());
  EXPECT_TRUE(same_items(first.value(), second.value()));
  EXPECT_EQ(explain(first.value()), explain(second.value()));
}

TEST(Replan, ComesToWhatPlanComesTo) {
  Rng rng = make_rng();
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    const DeviceSpec device = device_with(CpuIsa::kAvx2, 3);
    auto again = plan(decode_problem(), device, kLengths, {}, {.mode = mode});
    ASSERT_TRUE(again.is_ok());
    for (int round = 0; round < 20; ++round) {
      std::vector<std::int32_t> lengths(4);
      for (auto& length : lengths) length = static_cast<std::int32_t>(uniform(rng, 0, 5000));
      const auto fresh = plan(decode_problem(), device, lengths, {}, {.mode = mode});
      ASSERT_TRUE(fresh.is_ok());
      const Status status = replan(again.value(), lengths);  // the mode stays
      ASSERT_TRUE(status.is_ok()) << status.message();
      EXPECT_TRUE(same_items(again.value(), fresh.value()));
      EXPECT_EQ(again.value().kv_lengths, lengths);
      EXPECT_EQ(explain(again.value()), explain(fresh.value()));
    }
  }
}

TEST(Replan, TakesThePlansOwnLengths) {
  auto result = plan(decode_problem(), device_with(CpuIsa::kAvx2), kLengths);
  ASSERT_TRUE(result.is_ok());
  WorkPlan& work = result.value();
  ++work.kv_lengths[1];  // a decode loop that counts in place
  ASSERT_TRUE(replan(work, work.kv_lengths).is_ok());
  EXPECT_THAT(work.kv_lengths, ElementsAre(1000, 1, 17, 4096));
}

TEST(Replan, LeavesThePlanAloneWhenItRefuses) {
  auto result = plan(decode_problem(), device_with(CpuIsa::kAvx2), kLengths);
  ASSERT_TRUE(result.is_ok());
  const WorkPlan before = result.value();
  const std::vector<std::int32_t> negative = {1, 2, 3, -4};
  const Status status = replan(result.value(), negative);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("kv_lengths[3]: is -4, must be >= 0"));
  EXPECT_TRUE(same_items(result.value(), before));
  EXPECT_EQ(result.value().kv_lengths, kLengths);
}

TEST(Replan, RefusesWhatWasNeverPlanned) {
  WorkPlan never;
  const Status status = replan(never, {});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("plan.kernel_name: is \"\", must be set by plan()"));
}

bool supports_up_to_avx2(CpuIsa isa) noexcept { return isa <= CpuIsa::kAvx2; }

TEST(ForeignPlan, IsRefusedNotRun) {
  for (const KernelRow& row : kernel_table()) {
    if (row.cpu() == nullptr) continue;
    WorkPlan foreign;
    foreign.kernel_name = row.name;
    foreign.cpu_isa = row.cpu_isa();
    const KernelRow* found = nullptr;
    const Status status = find_runnable(foreign, supports_up_to_avx2, &found);
    if (supports_up_to_avx2(row.cpu_isa())) {
      EXPECT_TRUE(status.is_ok());
      EXPECT_EQ(found, &row);
    } else {
      EXPECT_EQ(status.code(), StatusCode::kUnsupported);
      EXPECT_THAT(status.message(),
                  AllOf(HasSubstr("plan.cpu_isa: is " + std::string(to_string(row.cpu_isa()))),
                        HasSubstr(row.name)));
    }
  }
}

class AnyIsa : public ::testing::TestWithParam<CpuIsa> {};
INSTANTIATE_TEST_SUITE_P(Isas, AnyIsa, ::testing::ValuesIn(supported_isas()), isa_name);

/// Workers are the plan's, threads the executor's: any number of either runs any plan.
TEST_P(AnyIsa, WorkersNeedNotBeThreads) {
  Rng rng = make_rng();
  CaseSpec spec = small_decode();
  spec.kv_lengths = {300, 0, 41, 7};
  set_types(spec.problem, type_for(GetParam()));
  AttentionCase attention_case(spec, rng);
  for (const int num_threads : {1, 2, 3}) {
    Executor executor = Executor::cpu(num_threads);
    for (const int num_workers : {1, 2, 3, 8, 33}) {
      EXPECT_TRUE(run_case(attention_case, executor,
                           {.isa = GetParam(), .plan = {}, .num_workers = num_workers}));
    }
  }
}

}  // namespace
}  // namespace seesaw::testing
