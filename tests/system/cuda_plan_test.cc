// Plans for CUDA devices: selection, division, explanation. They need no device.
#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "seesaw/device.h"
#include "seesaw/registry.h"
#include "system/cuda_call.h"
#include "system/guard.h"
#include "system/registry.h"

namespace seesaw::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::vector<std::int32_t> kLengths = {1000, 0, 17, 4096};

TEST(CudaSelection, TakesTheTunedKernelOnHopper) {
  const auto plan = seesaw::plan(latent_decode(4), h100(), kLengths);
  ASSERT_TRUE(plan.is_ok()) << plan.status().message();
  EXPECT_EQ(plan.value().kernel_name, "sm90_decode_dense");
  EXPECT_THAT(plan.value().reasons, ElementsAre(HasSubstr("sm90_decode_dense: taken")));
}

TEST(CudaSelection, SaysWhatItPassedOver) {
  for (const int sm_arch : {80, 86, 89, 100, 120}) {
    const auto plan = seesaw::plan(latent_decode(4), device_of_arch(sm_arch), kLengths);
    ASSERT_TRUE(plan.is_ok()) << plan.status().message();
    EXPECT_EQ(plan.value().kernel_name, "portable_decode_dense") << sm_arch;
    EXPECT_THAT(plan.value().reasons,
                ElementsAre("sm90_decode_dense: passed over, needs sm_90, the device has sm_" +
                                std::to_string(sm_arch),
                            HasSubstr("portable_decode_dense: taken")));
  }
}

TEST(CudaSelection, FallsBackForDimensionsThatAreNotTuned) {
  AttentionProblem problem = latent_decode(4);
  problem.d_qk = 200;
  problem.d_v = 104;
  const auto plan = seesaw::plan(problem, h100(), kLengths);
  ASSERT_TRUE(plan.is_ok()) << plan.status().message();
  EXPECT_EQ(plan.value().kernel_name, "portable_decode_dense");
  EXPECT_THAT(plan.value().reasons,
              ElementsAre(AllOf(HasSubstr("sm90_decode_dense: passed over"), HasSubstr("d_qk")),
                          HasSubstr("portable_decode_dense: taken")));
}

struct Refused {
  const char* name;
  void (*change)(AttentionProblem& problem, DeviceSpec& device);
};

class CudaRefusal : public ::testing::TestWithParam<Refused> {};

/// Both kernels' reasons, and neither a CPU kernel's nor a crash.
TEST_P(CudaRefusal, NamesTheReasonOfEveryKernel) {
  AttentionProblem problem = latent_decode(2);
  DeviceSpec device = h100();
  GetParam().change(problem, device);
  const bool is_prefill = problem.phase == Phase::kPrefill;
  const std::vector<std::int32_t> kv_lengths = {10, 20};
  const std::vector<std::int32_t> q_lengths(is_prefill ? 2 : 0, 1);
  const bool is_top_k = problem.sparsity == Sparsity::kTopK;
  const auto host = seesaw::plan(problem, device, kv_lengths, q_lengths);
  const auto on_device = plan_for_device_lengths(problem, device);
  for (const Status& status : {host.status(), on_device.status()}) {
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << is_top_k;
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("sm90_decode_dense: passed over, "),
                      HasSubstr("portable_decode_dense: passed over, "), Not(HasSubstr("cpu_"))));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Problems, CudaRefusal,
    ::testing::Values(Refused{"Prefill", [](AttentionProblem& problem,
                                            DeviceSpec&) { problem.phase = Phase::kPrefill; }},
                      Refused{"TopK",
                              [](AttentionProblem& problem, DeviceSpec&) {
                                problem.sparsity = Sparsity::kTopK;
                                problem.top_k = 64;
                              }},
                      Refused{"Float32Cache",
                              [](AttentionProblem& problem, DeviceSpec&) {
                                problem.q_dtype = DType::kFloat32;
                                problem.kv_format = KvFormat::kFloat32;
                              }},
                      Refused{"MixedTypes", [](AttentionProblem& problem,
                                               DeviceSpec&) { problem.q_dtype = DType::kFloat16; }},
                      Refused{"OldDevice",
                              [](AttentionProblem&, DeviceSpec& device) { device.sm_arch = 75; }},
                      Refused{"UnknownDevice",
                              [](AttentionProblem&, DeviceSpec& device) { device.sm_arch = 0; }}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(CudaRegistry, ListsWhatEachKernelIsMadeFor) {
  const std::vector<KernelInfo> kernels = list_kernels();
  ASSERT_GE(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].device, DeviceKind::kCuda);
  EXPECT_EQ(kernels[0].sm_arch, 90);
  EXPECT_FALSE(kernels[0].runs_on_newer);
  EXPECT_EQ(kernels[1].sm_arch, 80);
  EXPECT_TRUE(kernels[1].runs_on_newer);
  for (const KernelInfo& kernel : {kernels[0], kernels[1]}) {
    EXPECT_THAT(kernel.formats, SizeIs(2)) << kernel.name << ": bfloat16 and float16";
    bool has_device = false;
    for (const DeviceSpec& device : probe_cuda()) {
      has_device |= device.sm_arch == kernel.sm_arch ||
                    (kernel.runs_on_newer && device.sm_arch > kernel.sm_arch);
    }
    EXPECT_EQ(kernel.is_supported, has_device) << kernel.name;
  }
}

// ---- Division ----

TEST(CudaPlan, CutsForHostLengths) {
  const auto result = seesaw::plan(latent_decode(4), h100(), kLengths);
  ASSERT_TRUE(result.is_ok());
  const WorkPlan& work = result.value();
  const GroupShape& shape = work.groups.shape;
  EXPECT_FALSE(work.has_device_lengths());
  EXPECT_EQ(work.kv_lengths, kLengths);
  EXPECT_EQ(shape.num_sequences(), 4 * shape.row_groups);
  EXPECT_GE(shape.group_size * shape.row_groups * shape.rows_per_tile, 128);
  EXPECT_LE(shape.num_groups * shape.group_size, 132);
  EXPECT_THAT(work.groups.cuts, SizeIs(shape.num_ranges + 1));
  EXPECT_THAT(work.groups.first_ranges, SizeIs(shape.num_groups + 1));
  EXPECT_GT(work.num_slots, 0) << "4,096 keys are split among 132 workers";
  EXPECT_THAT(work.items, IsEmpty());
  EXPECT_TRUE(verify_plan(work).is_ok()) << verify_plan(work).message();
}

/// Lengths may change between the replays of a graph; nothing that the graph holds may.
TEST(CudaPlan, ForDeviceLengthsIsTheHostPlanWithoutCuts) {
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    const auto with = seesaw::plan(latent_decode(4), h100(), kLengths, {}, {.mode = mode});
    const auto without = plan_for_device_lengths(latent_decode(4), h100(), {.mode = mode});
    ASSERT_TRUE(with.is_ok() && without.is_ok()) << without.status().message();
    const WorkPlan& work = without.value();
    EXPECT_TRUE(work.has_device_lengths());
    EXPECT_THAT(work.groups.cuts, IsEmpty());
    EXPECT_EQ(work.workspace_bytes, with.value().workspace_bytes);
    EXPECT_EQ(work.groups.cuts_offset, with.value().groups.cuts_offset);
    EXPECT_EQ(work.groups.shape.num_ranges, with.value().groups.shape.num_ranges);
    EXPECT_EQ(work.num_slots, work.groups.shape.num_slots());
    EXPECT_TRUE(verify_plan(work).is_ok()) << verify_plan(work).message();
  }
}

TEST(CudaPlan, MergesNothingWhereNothingIsSplit) {
  const std::vector<std::int32_t> lengths(512, 64);
  const auto whole = seesaw::plan(latent_decode(512), h100(), lengths);
  ASSERT_TRUE(whole.is_ok());
  EXPECT_EQ(whole.value().num_slots, 0);
  EXPECT_THAT(explain(whole.value()), HasSubstr("no tile is split"));
}

TEST(CudaPlan, OfNothingAsksForNoMemory) {
  AttentionProblem problem = latent_decode(0);
  auto none = seesaw::plan(problem, h100(), {});
  ASSERT_TRUE(none.is_ok()) << none.status().message();
  EXPECT_EQ(none.value().workspace_bytes, 0u);
  problem.batch = 4;
  problem.s_q = 0;
  none = seesaw::plan(problem, h100(), kLengths);
  ASSERT_TRUE(none.is_ok()) << none.status().message();
  EXPECT_EQ(none.value().workspace_bytes, 0u);
  EXPECT_THAT(explain(none.value()), HasSubstr("0 sequences"));
  none = plan_for_device_lengths(problem, h100());
  ASSERT_TRUE(none.is_ok()) << none.status().message();
  EXPECT_EQ(none.value().workspace_bytes, 0u);
}

/// As for a CPU: tests/system/validate_problem_test.cc.
TEST(CudaPlan, RefusesScalesThatOverflowInLog2Units) {
  AttentionProblem problem = latent_decode(2);
  problem.softmax_scale = 2.4e38f;
  EXPECT_EQ(plan_for_device_lengths(problem, h100()).status().code(), StatusCode::kInvalidArgument);
  problem.softmax_scale = 2.358e38f;
  EXPECT_TRUE(plan_for_device_lengths(problem, h100()).is_ok());
}

TEST(CudaPlan, ForDeviceLengthsNeedsACudaDevice) {
  const auto plan = plan_for_device_lengths(latent_decode(4), DeviceSpec{});
  EXPECT_EQ(plan.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(plan.status().message(),
            "device.kind: is cpu, must be cuda: a CPU's plan needs the lengths");
}

TEST(CudaReplan, ComesToWhatPlanComesTo) {
  Rng rng = make_rng();
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    auto again = seesaw::plan(latent_decode(4), h100(), kLengths, {}, {.mode = mode});
    ASSERT_TRUE(again.is_ok());
    for (int round = 0; round < 20; ++round) {
      std::vector<std::int32_t> lengths(4);
      for (auto& length : lengths) length = static_cast<std::int32_t>(uniform(rng, 0, 9000));
      const auto fresh = seesaw::plan(latent_decode(4), h100(), lengths, {}, {.mode = mode});
      ASSERT_TRUE(fresh.is_ok());
      ASSERT_TRUE(replan(again.value(), lengths).is_ok());
      EXPECT_EQ(again.value().groups.cuts, fresh.value().groups.cuts);
      EXPECT_EQ(again.value().groups.first_ranges, fresh.value().groups.first_ranges);
      EXPECT_EQ(again.value().num_slots, fresh.value().num_slots);
      EXPECT_EQ(explain(again.value()), explain(fresh.value()));
    }
  }
}

TEST(CudaReplan, RefusesAPlanForDeviceLengths) {
  auto result = plan_for_device_lengths(latent_decode(4), h100());
  ASSERT_TRUE(result.is_ok());
  const Status status = replan(result.value(), kLengths);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("plan: was made for lengths on the device"));
}

// ---- Explanation ----

TEST(CudaReplan, LeavesAPlanThatNamesNoKernelWhereItFails) {
  WorkPlan work = seesaw::plan(latent_decode(4), h100(), kLengths).value();
  const Status status = replan(work, kLengths, {}, {.num_splits = 1 << 30});
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("num_splits"));
  EXPECT_EQ(work.kernel_name, "");
  const WorkPlan copy = work;
  EXPECT_THAT(explain(copy), HasSubstr("planning has failed"));
}

TEST(CudaPlan, RefusesWorkersWithoutNumberAndBlocksWithoutMemory) {
  DeviceSpec device = h100();
  device.num_workers = 1'000'000'000;
  EXPECT_EQ(seesaw::plan(latent_decode(4), device, kLengths).status().code(),
            StatusCode::kUnsupported);
  EXPECT_EQ(plan_for_device_lengths(latent_decode(4), device).status().code(),
            StatusCode::kUnsupported);
  device = h100();
  device.shared_memory_bytes = 48 << 10;
  EXPECT_EQ(seesaw::plan(latent_decode(4), device, kLengths).status().code(),
            StatusCode::kUnsupported);
}

TEST(CudaCall, BroadcastAndAbsentPagesAreNotForTheTunedKernel) {
  cuda::DecodeCall call;
  call.num_pages = 2;
  call.page_size = 64;
  call.shape.h_kv = 1;
  call.page_stride = 64 * 576;
  call.token_stride = 576;
  EXPECT_EQ(cuda::why_not_sm90_call(call), "");
  for (std::int64_t* stride : {&call.page_stride, &call.token_stride}) {
    const std::int64_t kept = std::exchange(*stride, 0);
    EXPECT_THAT(cuda::why_not_sm90_call(call), HasSubstr("a stride of 0"));
    *stride = kept;
  }
  call.num_pages = 0;
  EXPECT_THAT(cuda::why_not_sm90_call(call), HasSubstr("no pages"));
}

TEST(CudaExplain, TellsGroupsAndSplitsOfHostLengths) {
  const auto result = seesaw::plan(latent_decode(4), h100(), kLengths);
  ASSERT_TRUE(result.is_ok());
  const WorkPlan& work = result.value();
  const GroupShape& shape = work.groups.shape;
  const std::string text = explain(work);
  EXPECT_THAT(text, AllOf(HasSubstr("kernel     sm90_decode_dense on an H100, 132 workers"),
                          HasSubstr("sm90_decode_dense: taken"),
                          HasSubstr("over " + std::to_string(shape.num_groups) + " groups of " +
                                    std::to_string(shape.group_size) + " worker"),
                          HasSubstr(std::to_string(shape.num_ranges) + " ranges of blocks of 64"),
                          HasSubstr("tiles split, into up to"), HasSubstr("scores a worker: least"),
                          HasSubstr("workspace  " + std::to_string(work.workspace_bytes) +
                                    " bytes: " + std::to_string(shape.num_slots()) + " slots")));
}

TEST(CudaExplain, SaysThatLengthsAreOnTheDevice) {
  const auto result = plan_for_device_lengths(latent_decode(4), h100());
  ASSERT_TRUE(result.is_ok());
  EXPECT_THAT(explain(result.value()),
              AllOf(HasSubstr("lengths are on the device: prepare() divides there"),
                    Not(HasSubstr("scores a worker"))));
}

TEST(CudaExplain, WordsEveryRule) {
  const auto text = [](ScheduleMode mode, std::int64_t batch) {
    const std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch), 5000);
    return explain(seesaw::plan(latent_decode(batch), h100(), lengths, {}, {.mode = mode}).value());
  };
  EXPECT_THAT(text(ScheduleMode::kThroughput, 1000), HasSubstr("even shares of all sequences"));
  EXPECT_THAT(text(ScheduleMode::kLatency, 2), HasSubstr("groups of its own for each sequence"));
  EXPECT_THAT(text(ScheduleMode::kBatchInvariant, 8),
              HasSubstr("each sequence by its own length only"));
}

// ---- Damaged plans ----

struct Damage {
  const char* field;
  void (*apply)(WorkPlan& plan);
};

TEST(CudaVerifyPlan, RefusesWhatWasChangedByHand) {
  const Damage damages[] = {
      {"plan.groups.shape.batch", [](WorkPlan& plan) { ++plan.groups.shape.batch; }},
      {"plan.groups.shape.s_q", [](WorkPlan& plan) { ++plan.groups.shape.s_q; }},
      {"plan.groups.shape.heads_per_kv", [](WorkPlan& plan) { --plan.groups.shape.heads_per_kv; }},
      {"plan.groups.shape.is_causal",
       [](WorkPlan& plan) { plan.groups.shape.is_causal = !plan.groups.shape.is_causal; }},
      {"plan.groups.shape.rows_per_tile",
       [](WorkPlan& plan) { plan.groups.shape.rows_per_tile = 32; }},
      {"plan.groups.shape.rows_per_tile",
       [](WorkPlan& plan) { plan.groups.shape.rows_per_tile = plan.rows_per_tile = 0; }},
      {"plan.groups.shape.tokens_per_block",
       [](WorkPlan& plan) { plan.groups.shape.tokens_per_block = plan.kv_granule = 7; }},
      {"plan.groups.shape.slots_per_range",
       [](WorkPlan& plan) { plan.groups.shape.slots_per_range = 1; }},
      {"plan.groups.rule.blocks_per_piece",
       [](WorkPlan& plan) { plan.groups.rule.blocks_per_piece = 0; }},
      {"plan.groups.shape.group_size", [](WorkPlan& plan) { plan.groups.shape.group_size = 0; }},
      {"plan.groups.shape.num_groups", [](WorkPlan& plan) { plan.groups.shape.num_groups = 133; }},
      {"plan.groups.shape.row_groups", [](WorkPlan& plan) { ++plan.groups.shape.row_groups; }},
      {"plan.slots_offset", [](WorkPlan& plan) { plan.slots_offset = plan.workspace_bytes; }},
      {"plan.slot_stride", [](WorkPlan& plan) { plan.slot_stride = 64; }},
      {"plan.groups.cuts_offset",
       [](WorkPlan& plan) { plan.groups.cuts_offset = plan.workspace_bytes - 64; }},
      {"plan.groups.kv_lengths_offset", [](WorkPlan& plan) { ++plan.groups.kv_lengths_offset; }},
      {"plan.groups.scratch_offset",
       [](WorkPlan& plan) { plan.groups.scratch_offset = plan.workspace_bytes; }},
      {"plan.num_slots", [](WorkPlan& plan) { plan.num_slots = 0; }},
  };
  for (const Damage& damage : damages) {
    WorkPlan work = seesaw::plan(latent_decode(4), h100(), kLengths).value();
    damage.apply(work);
    const Status status = verify_plan(work);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << damage.field;
    EXPECT_THAT(status.message(), AllOf(HasSubstr(std::string(damage.field) + ": is "),
                                        HasSubstr("was the plan changed by hand?")));
  }
}

}  // namespace
}  // namespace seesaw::testing
