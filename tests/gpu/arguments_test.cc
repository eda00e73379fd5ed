// What is refused, in which words, and that nothing is left behind: checked data on the device,
// workspaces, executors, devices that are not there.
#include <limits>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

class Arguments : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    case_ = std::make_unique<AttentionCase>(decode_spec({130, 0, 300}, 16), rng());
    device_case_ = std::make_unique<DeviceCase>(*case_, stream().get());
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "an error was left behind";
  }

  DeviceCase& device_case() { return *device_case_; }
  AttentionCase& attention_case() { return *case_; }

 private:
  std::unique_ptr<AttentionCase> case_;
  std::unique_ptr<DeviceCase> device_case_;
};

TEST_F(Arguments, TheFirstBadPageIsReported) {
  StridedArray& table = attention_case().block_table();
  const double first_page = table.read(table.offset({2, 1}));
  for (LengthSource lengths : kAllLengthSources)
    for (double bad : {-1.0, 1e6, 2147483647.0}) {
      table.write(table.offset({2, 1}), bad);
      table.write(table.offset({2, 3}), bad);  // a later one
      device_case().block_table().upload(stream().get());
      const Status status =
          device_case().compute({.lengths = lengths, .check = DataCheck::kVerify});
      EXPECT_EQ(status.code(), StatusCode::kCorruptData);
      EXPECT_THAT(status.message(), HasSubstr("block_table[2, 1]"));
      EXPECT_THAT(status.message(), HasSubstr(std::to_string(static_cast<std::int64_t>(bad))));
    }
  // The same table without the offence passes: what is refused was the page.
  table.write(table.offset({2, 1}), first_page);
  table.write(table.offset({2, 3}), first_page);
  device_case().block_table().upload(stream().get());
  EXPECT_TRUE(device_case().run({.check = DataCheck::kVerify}));
}

TEST_F(Arguments, NothingIsWrittenWhereDataIsRefused) {
  StridedArray& table = attention_case().block_table();
  table.write(table.offset({0, 0}), -7);
  device_case().block_table().upload(stream().get());
  EXPECT_EQ(device_case().compute({.check = DataCheck::kVerify}).code(), StatusCode::kCorruptData);
  for (double x : attention_case().out()) ASSERT_TRUE(std::isnan(x));
}

TEST_F(Arguments, ALengthBeyondTheBlockTableIsReported) {
  device_case().set_lengths({{130, 0, 1 << 20}});
  const Status status =
      device_case().compute({.lengths = LengthSource::kDevice, .check = DataCheck::kVerify});
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_THAT(status.message(), HasSubstr("kv_lengths[2]"));
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(1 << 20)));
}

TEST_F(Arguments, ANegativeLengthOnTheDeviceIsZero) {
  device_case().set_lengths({{130, -5, 300}});
  EXPECT_TRUE(device_case().run({.lengths = LengthSource::kDevice}));
}

TEST_F(Arguments, WorkspacesThatAreTooSmallOrMisaligned) {
  for (LengthSource lengths : kAllLengthSources) {
    const WorkPlan plan = device_case().make_plan({.lengths = lengths}).value();
    device_case().make_workspace(plan);
    const ConstTensorView on_device =
        lengths == LengthSource::kDevice ? device_case().lengths() : ConstTensorView();
    const std::span<std::byte> all = device_case().workspace().bytes();
    for (const auto& [workspace, code] :
         {std::pair{all.first(all.size() - 1), StatusCode::kWorkspaceTooSmall},
          std::pair{std::span<std::byte>(), StatusCode::kWorkspaceTooSmall}}) {
      EXPECT_EQ(prepare(plan, on_device, workspace, device_case().executor()).code(), code);
      DecodeArgs args = device_case().args();
      args.workspace = workspace;
      EXPECT_EQ(decode(plan, args, device_case().executor()).code(), code);
    }
    const std::span<std::byte> misaligned(all.data() + 4, all.size());
    EXPECT_EQ(prepare(plan, on_device, misaligned, device_case().executor()).code(),
              StatusCode::kInvalidArgument);
  }
}

TEST_F(Arguments, PlansAndExecutorsOfDifferentDevices) {
  Executor cpu = Executor::cpu(1);
  const WorkPlan cuda_plan = device_case().make_plan({}).value();
  const CaseSpec& spec = attention_case().spec();
  const WorkPlan cpu_plan = plan(spec.problem, probe_cpu().value(), spec.kv_lengths).value();
  device_case().make_workspace(cuda_plan);
  EXPECT_EQ(decode(cuda_plan, device_case().args(), cpu).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(decode(cpu_plan, device_case().args(), device_case().executor()).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(Arguments, ADeviceThatIsNotThere) {
  const WorkPlan plan = device_case().make_plan({}).value();
  device_case().make_workspace(plan);
  Executor missing = Executor::cuda(63);
  EXPECT_FALSE(prepare(plan, {}, device_case().workspace().bytes(), missing).is_ok());
  EXPECT_FALSE(decode(plan, device_case().args(), missing).is_ok());
  EXPECT_TRUE(device_case().run({}));  // and the one that is there works as before
}

TEST_F(Arguments, LengthsOfTheWrongTypeOrNumber) {
  const WorkPlan plan = device_case().make_plan({.lengths = LengthSource::kDevice}).value();
  device_case().make_workspace(plan);
  ConstTensorView two = device_case().lengths();
  two.shape[0] = 2;
  ConstTensorView wide = device_case().lengths();
  wide.dtype = DType::kInt64;
  for (const ConstTensorView& lengths : {two, wide, ConstTensorView()})
    EXPECT_EQ(
        prepare(plan, lengths, device_case().workspace().bytes(), device_case().executor()).code(),
        StatusCode::kInvalidArgument);
}

TEST_F(Arguments, WhatHasNoKernelIsUnsupportedWithReasons) {
  const DeviceSpec device = test_device().value();
  AttentionProblem problem = attention_case().problem();
  const std::vector<std::int32_t> lengths = attention_case().spec().kv_lengths;
  AttentionProblem float32 = problem;
  float32.q_dtype = float32.out_dtype = DType::kFloat32;
  float32.kv_format = KvFormat::kFloat32;
  AttentionProblem prefill = problem;
  prefill.phase = Phase::kPrefill;
  AttentionProblem top_k = problem;
  top_k.sparsity = Sparsity::kTopK;
  top_k.top_k = 64;
  const std::vector<std::int32_t> q_lengths(lengths.size(), 1);
  for (const auto& unsupported : {float32, prefill, top_k}) {
    const auto planned =
        plan(unsupported, device, lengths,
             unsupported.phase == Phase::kPrefill ? std::span<const std::int32_t>(q_lengths)
                                                  : std::span<const std::int32_t>());
    ASSERT_FALSE(planned.is_ok());
    EXPECT_EQ(planned.status().code(), StatusCode::kUnsupported);
    EXPECT_THAT(planned.status().message(), HasSubstr("portable_decode_dense"));
  }
}

TEST_F(Arguments, TheChosenKernelIsTheTunedOneOnHopper) {
  if (test_device()->sm_arch != 90) GTEST_SKIP() << "this device is no Hopper GPU";
  const WorkPlan plan = device_case().make_plan({}).value();
  EXPECT_EQ(plan.kernel_name, "sm90_decode_dense") << explain(plan);
}

}  // namespace
}  // namespace seesaw::testing
