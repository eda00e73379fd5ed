// What prepare() leaves in the workspace, and that the data check finds a workspace without it.
#include <algorithm>
#include <cstring>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

class PrepareOnDevice : public GpuTest {
 protected:
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "an error was left behind";
  }
};

std::vector<std::byte> download(const DeviceBuffer& buffer, const DeviceStream& stream) {
  std::vector<std::byte> bytes(buffer.size());
  buffer.download(bytes, stream.get());
  stream.synchronize();
  return bytes;
}

template <typename T>
void expect_at(const std::vector<std::byte>& workspace, std::size_t offset,
               const std::vector<T>& expected) {
  ASSERT_LE(offset + expected.size() * sizeof(T), workspace.size());
  EXPECT_EQ(std::memcmp(workspace.data() + offset, expected.data(), expected.size() * sizeof(T)),
            0);
}

/// Fixed pieces of 300 requests are 40 KB of cuts: many launches, none of which may tear.
TEST_F(PrepareOnDevice, AHostPlanArrivesAsItIs) {
  for (const std::int64_t batch : {1, 7, 300, 1100}) {
    for (const ScheduleMode mode : kAllModes) {
      if (mode == ScheduleMode::kBatchInvariant && batch > 300) continue;  // over 1 GB of slots
      AttentionProblem problem;
      problem.h_q = 16;
      problem.d_qk = 320;
      problem.d_v = 256;
      problem.batch = batch;
      const std::vector<std::int32_t> lengths = random_lengths(rng(), batch, 0, 9000);
      const WorkPlan work = plan(problem, *test_device(), lengths, {}, {.mode = mode}).value();
      const DeviceBuffer workspace(work.workspace_bytes);
      workspace.fill(0xff, stream().get());
      Executor executor = Executor::cuda(test_device()->cuda_ordinal, stream().get());
      const Status status = prepare(work, {}, workspace.bytes(), executor);
      ASSERT_TRUE(status.is_ok()) << status.message();
      const std::vector<std::byte> bytes = download(workspace, stream());
      expect_at(bytes, work.groups.cuts_offset, work.groups.cuts);
      expect_at(bytes, work.groups.first_ranges_offset, work.groups.first_ranges);
      expect_at(bytes, work.groups.kv_lengths_offset, work.kv_lengths);
      expect_at(bytes, work.groups.arrivals_offset,
                std::vector<std::int32_t>(static_cast<std::size_t>(work.groups.num_arrivals())));
      // Slots before the plan's part and scratch behind it are not the plan's.
      const auto is_untouched = [](std::byte b) { return b == std::byte{0xff}; };
      const auto begin = bytes.begin();
      const auto at = [&](std::size_t offset) {
        return begin + static_cast<std::ptrdiff_t>(offset);
      };
      EXPECT_TRUE(std::all_of(begin, at(work.groups.cuts_offset), is_untouched));
      EXPECT_TRUE(std::all_of(at(work.groups.scratch_offset), bytes.end(), is_untouched));
    }
  }
}

/// The graph holds the cuts itself: the plan may be gone when it is replayed.
TEST_F(PrepareOnDevice, AHostPlanIsCapturedByValue) {
  AttentionProblem problem;
  problem.batch = 3;
  const DeviceBuffer workspace(
      plan(problem, *test_device(), std::vector{500, 0, 7000}).value().workspace_bytes);
  std::vector<Cut> cuts;
  std::size_t cuts_offset = 0;
  const Graph graph(stream().get(), [&] {
    const WorkPlan work = plan(problem, *test_device(), std::vector{500, 0, 7000}).value();
    Executor executor = Executor::cuda(test_device()->cuda_ordinal, stream().get());
    const Status status = prepare(work, {}, workspace.bytes(), executor);
    EXPECT_TRUE(status.is_ok()) << status.message();
    cuts = work.groups.cuts;
    cuts_offset = work.groups.cuts_offset;
  });
  for (int replay = 0; replay < 2; ++replay) {
    workspace.fill(0xff, stream().get());
    graph.launch(stream().get());
    expect_at(download(workspace, stream()), cuts_offset, cuts);
  }
}

class UnpreparedWorkspace : public PrepareOnDevice,
                            public ::testing::WithParamInterface<LengthSource> {};
INSTANTIATE_TEST_SUITE_P(Lengths, UnpreparedWorkspace, ::testing::ValuesIn(kAllLengthSources));

/// Whatever it holds: as lengths, 0x01010101 tokens are more than the block table has room for, and
/// 0 tokens are right.
TEST_P(UnpreparedWorkspace, IsFoundByTheDataCheck) {
  AttentionCase attention_case(decode_spec({130, 0, 300}), rng());
  DeviceCase device_case(attention_case, stream().get());
  const WorkPlan work = device_case.make_plan({.lengths = GetParam()}).value();
  device_case.make_workspace(work);
  for (const int byte : {0xff, 0x00, 0x01, 0x7f}) {
    device_case.workspace().fill(byte, stream().get());
    const Status status = device_case.decode(work, DataCheck::kVerify);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData);
    EXPECT_THAT(status.message(), HasSubstr("workspace: holds no plan for this call")) << byte;
  }
  ASSERT_TRUE(device_case.prepare(work).is_ok());
  EXPECT_TRUE(device_case.decode(work, DataCheck::kVerify).is_ok());
}

TEST_P(UnpreparedWorkspace, OfRandomBytesIsFoundByTheDataCheck) {
  AttentionCase attention_case(decode_spec({130, 0, 300}), rng());
  DeviceCase device_case(attention_case, stream().get());
  const WorkPlan work = device_case.make_plan({.lengths = GetParam()}).value();
  device_case.make_workspace(work);
  std::vector<std::byte> bytes(device_case.workspace().size());
  for (std::byte& b : bytes) b = static_cast<std::byte>(uniform(rng(), 0, 255));
  device_case.workspace().upload(bytes, stream().get());
  const Status status = device_case.decode(work, DataCheck::kVerify);
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_THAT(status.message(), HasSubstr("workspace: holds no plan for this call"));
}

/// Of one division's cuts with another shape: the last cut is not the row's end.
TEST_F(PrepareOnDevice, AnotherShapesPlanIsFoundByTheDataCheck) {
  AttentionCase attention_case(decode_spec({130, 0, 300}), rng());
  DeviceCase device_case(attention_case, stream().get());
  const WorkPlan work = device_case.make_plan({}).value();
  AttentionProblem fewer = work.problem;
  fewer.batch = 2;
  const WorkPlan other = plan(fewer, *test_device(), std::vector{130, 0}).value();
  ASSERT_EQ(other.groups.shape.num_ranges, work.groups.shape.num_ranges);
  ASSERT_LE(other.workspace_bytes, work.workspace_bytes);
  device_case.make_workspace(work);
  ASSERT_TRUE(device_case.prepare(work).is_ok());
  ASSERT_TRUE(prepare(other, {}, device_case.workspace().bytes(), device_case.executor()).is_ok());
  const Status status = device_case.decode(work, DataCheck::kVerify);
  EXPECT_EQ(status.code(), StatusCode::kCorruptData) << status.message();
}

TEST_F(PrepareOnDevice, TheDataCheckIsRefusedWhileCapturing) {
  AttentionCase attention_case(decode_spec({130, 0, 300}), rng());
  DeviceCase device_case(attention_case, stream().get());
  const WorkPlan work = device_case.make_plan({}).value();
  device_case.make_workspace(work);
  ASSERT_TRUE(device_case.prepare(work).is_ok());
  stream().synchronize();
  require_cuda(cudaStreamBeginCapture(stream().get(), cudaStreamCaptureModeGlobal), "capture");
  const Status refused = device_case.decode(work, DataCheck::kVerify);
  const Status taken = device_case.decode(work, DataCheck::kTrust);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream().get(), &graph), cudaSuccess)
      << "a refusal must not break the capture";
  if (graph != nullptr) cudaGraphDestroy(graph);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr("while the executor's stream is being captured"));
  EXPECT_TRUE(taken.is_ok()) << taken.message();
}

/// The caller's current device and the thread's last error are as they were.
TEST_F(PrepareOnDevice, LeavesTheCallersErrorsAlone) {
  Executor executor = Executor::cuda(test_device()->cuda_ordinal, stream().get());
  const Status status = DeviceMemory::allocate(std::size_t{1} << 50, executor).status();
  EXPECT_EQ(status.code(), StatusCode::kDeviceError);
  EXPECT_THAT(status.message(), HasSubstr("cudaMalloc of 1125899906842624 bytes: failed with "
                                          "cudaErrorMemoryAllocation"));
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

TEST_F(PrepareOnDevice, MemoryGoesThereAndBack) {
  Executor executor = Executor::cuda(test_device()->cuda_ordinal, stream().get());
  std::vector<std::byte> from(100003);
  for (std::byte& b : from) b = static_cast<std::byte>(uniform(rng(), 0, 255));
  std::vector<std::byte> to(from.size());
  DeviceMemory memory = DeviceMemory::allocate(from.size(), executor).value();
  DeviceTimer timer = DeviceTimer::create(executor).value();
  ASSERT_TRUE(timer.start().is_ok());
  ASSERT_TRUE(copy_to_device(from, memory.bytes(), executor).is_ok());
  ASSERT_TRUE(copy_to_host(memory.bytes(), to, executor).is_ok());
  ASSERT_TRUE(timer.stop().is_ok());
  EXPECT_EQ(from, to);
  EXPECT_GT(timer.milliseconds().value(), 0);
  EXPECT_TRUE(synchronize(executor).is_ok());
}

}  // namespace
}  // namespace seesaw::testing
