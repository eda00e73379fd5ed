// What prepare() and decode() refuse of a CUDA call before a device is touched, and that nothing to
// do touches none. The arrays lie on the host: no launch may follow.
#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "seesaw/attention.h"
#include "seesaw/device.h"
#include "seesaw/device_memory.h"
#include "seesaw/kv_cache.h"
#include "system/cuda_call.h"

namespace seesaw::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

/// No machine has so many: a launch that got as far fails here.
constexpr int kNoDevice = 1000;

/// A valid call but for the device.
struct CudaCall {
  explicit CudaCall(const CaseSpec& spec = small_cuda_decode())
      : rng(make_rng()),
        arrays(spec, rng),
        host_plan(plan(arrays.problem(), h100(), arrays.spec().kv_lengths).value()),
        device_plan(plan_for_device_lengths(arrays.problem(), h100()).value()),
        workspace(host_plan.workspace_bytes) {
    args = arrays.decode_args();
    args.workspace = workspace.bytes();
    lengths = {arrays.spec().kv_lengths.data(),
               DType::kInt32,
               {static_cast<std::int64_t>(arrays.spec().kv_lengths.size())}};
  }
  Rng rng;
  AttentionCase arrays;
  WorkPlan host_plan;
  WorkPlan device_plan;
  AlignedBytes workspace;
  DecodeArgs args;
  ConstTensorView lengths;
  Executor executor = Executor::cuda(kNoDevice);
};

void expect_refusal(const Status& status, const std::string& message,
                    StatusCode code = StatusCode::kInvalidArgument) {
  EXPECT_EQ(status.code(), code) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(message));
}

// ---- The executor ----

TEST(CudaExecutor, HoldsOrdinalAndStream) {
  int stream = 0;
  Executor executor = Executor::cuda(3, &stream);
  EXPECT_EQ(executor.kind(), DeviceKind::kCuda);
  EXPECT_FALSE(executor.is_empty());
  EXPECT_EQ(executor.num_threads(), 0);
  EXPECT_EQ(executor.cuda_ordinal(), 3);
  EXPECT_EQ(executor.cuda_stream(), &stream);
  EXPECT_EQ(Executor::cuda().cuda_ordinal(), 0);
  EXPECT_EQ(Executor::cuda().cuda_stream(), nullptr);
}

TEST(CudaExecutor, MovesAndLeavesAnEmptyOneBehind) {
  int stream = 0;
  Executor first = Executor::cuda(3, &stream);
  Executor second = std::move(first);
  EXPECT_TRUE(first.is_empty());  // NOLINT(bugprone-use-after-move): that is the test
  EXPECT_EQ(second.cuda_ordinal(), 3);
  first = Executor::cpu(1);
  EXPECT_FALSE(first.is_empty());
  EXPECT_EQ(first.kind(), DeviceKind::kCpu);
  EXPECT_EQ(first.cuda_ordinal(), -1);
  first = std::move(second);
  EXPECT_EQ(first.kind(), DeviceKind::kCuda);
  EXPECT_EQ(first.num_threads(), 0);
  EXPECT_TRUE(second.is_empty());  // NOLINT(bugprone-use-after-move)
}

TEST(CudaExecutor, RefusesANegativeOrdinal) {
  try {
    Executor::cuda(-1);
    FAIL() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("ordinal: is -1, must be 0 or more"));
  }
}

TEST(CudaExecutor, MustFitThePlan) {
  CudaCall call;
  SmallCall cpu_call(small_decode());
  Executor cpu = Executor::cpu(1);
  expect_refusal(decode(call.host_plan, call.args, cpu),
                 "executor: is a pool of CPU threads, must be a CUDA stream: the plan's kernel is "
                 "sm90_decode_dense");
  expect_refusal(prepare(call.host_plan, {}, call.workspace.bytes(), cpu),
                 "executor: is a pool of CPU threads, must be a CUDA stream");
  expect_refusal(cpu_call.run(call.executor),
                 "executor: is a CUDA stream, must be a pool of CPU threads: the plan's kernel is "
                 "cpu_generic");
  Executor taken = std::move(call.executor);
  expect_refusal(decode(call.host_plan, call.args, call.executor), "executor: is empty");
}

TEST(CudaExecutor, CopiesNoCache) {
  CudaCall call;
  const Status status =
      gather({.kv_cache = call.args.cache.kv_cache, .block_table = call.args.cache.block_table},
             KvFormat::kBFloat16, call.executor);
  expect_refusal(status, "executor: is a CUDA stream, must be a CPU executor",
                 StatusCode::kUnsupported);
}

/// A launch on a device that is not there is an error with words, in every build.
TEST(CudaExecutor, SaysThatTheDeviceIsNotThere) {
  CudaCall call;
  const Status statuses[] = {
      prepare(call.host_plan, {}, call.workspace.bytes(), call.executor),
      prepare(call.device_plan, call.lengths, call.workspace.bytes(), call.executor),
      decode(call.host_plan, call.args, call.executor),
      decode(call.host_plan, call.args, call.executor, DataCheck::kVerify),
      decode(call.device_plan, call.args, call.executor),
  };
  for (const Status& status : statuses) {
    EXPECT_THAT(status.code(), AnyOf(StatusCode::kDeviceError, StatusCode::kUnsupported));
    EXPECT_THAT(status.message(),
                AnyOf(HasSubstr("executor.cuda_ordinal: is 1000, must be a device that the CUDA "
                                "driver shows: "),
                      HasSubstr("this build has no CUDA kernels")));
    if (!is_built_with_cuda() || !probe_cuda().empty()) continue;
    EXPECT_THAT(status.message(),
                AnyOf(HasSubstr("this machine has no NVIDIA driver: cudaGetDevice"),
                      HasSubstr("the NVIDIA driver")));
  }
}

TEST(DeviceMemory, IsOfACudaDevice) {
  Executor cpu = Executor::cpu(1);
  constexpr const char* kMessage = "executor: is no CUDA stream, must be one";
  expect_refusal(DeviceMemory::allocate(64, cpu).status(), kMessage);
  expect_refusal(DeviceTimer::create(cpu).status(), kMessage);
  expect_refusal(synchronize(cpu), kMessage);
  const Executor nowhere = Executor::cuda(kNoDevice);
  expect_refusal(order_after(cpu, nowhere), "later: is no CUDA stream, must be one");
  expect_refusal(order_after(nowhere, cpu), "earlier: is no CUDA stream, must be one");
  AlignedBytes from(64);
  AlignedBytes to(64);
  expect_refusal(copy_to_device(from.bytes(), to.bytes(), cpu), kMessage);
  expect_refusal(copy_to_host(from.bytes(), to.bytes().first(63), cpu),
                 "to.size(): is 63, must be from.size() = 64");
  for (const Status& status :
       {DeviceMemory::allocate(64, nowhere).status(), DeviceTimer::create(nowhere).status(),
        synchronize(nowhere), order_after(nowhere, nowhere),
        copy_to_device(from.bytes(), to.bytes(), nowhere)}) {
    EXPECT_THAT(status.code(), AnyOf(StatusCode::kDeviceError, StatusCode::kUnsupported));
    EXPECT_THAT(status.message(), HasSubstr("executor"));
  }
}

/// Of what was never allocated nothing is freed.
TEST(DeviceMemory, MovesWhileEmpty) {
  DeviceMemory first;
  DeviceMemory second = std::move(first);
  first = std::move(second);
  EXPECT_TRUE(first.bytes().empty());
}

// ---- prepare ----

TEST(Prepare, OfACpuPlanDoesNothing) {
  SmallCall call(small_decode());
  Executor executor = Executor::cpu(1);
  EXPECT_TRUE(prepare(call.plan, {}, {}, executor).is_ok());
  SmallCall prefill(small_prefill());
  EXPECT_TRUE(prepare(prefill.plan, {}, {}, executor).is_ok());
}

TEST(Prepare, OfACpuPlanTakesNoLengths) {
  constexpr const char* kMessage =
      "kv_lengths: is given, must not be given where the plan is for the CPU";
  std::vector<std::int32_t> lengths = {5, 0, 9};
  const ConstTensorView view{lengths.data(), DType::kInt32, {3}};
  Executor executor = Executor::cpu(1);
  for (const CaseSpec& spec : {small_decode(), small_prefill(), small_top_k()}) {
    const SmallCall call(spec);
    expect_refusal(prepare(call.plan, view, {}, executor), kMessage);
    expect_refusal(prepare(call.plan, view, call.workspace.bytes(), executor), kMessage);
  }
}

TEST(Prepare, TakesLengthsWhereThePlanHasNone) {
  CudaCall call;
  expect_refusal(prepare(call.host_plan, call.lengths, call.workspace.bytes(), call.executor),
                 "kv_lengths: is given, must not be given where the plan was made for host "
                 "lengths");
  expect_refusal(prepare(call.device_plan, {}, call.workspace.bytes(), call.executor),
                 "kv_lengths: is not given, must be int32 [b]");
  ConstTensorView view = call.lengths;
  view.shape[0] = 4;
  expect_refusal(prepare(call.device_plan, view, call.workspace.bytes(), call.executor),
                 "kv_lengths.shape[0]: is 4, must be b = 3");
  view = call.lengths;
  view.dtype = DType::kInt64;
  expect_refusal(prepare(call.device_plan, view, call.workspace.bytes(), call.executor),
                 "kv_lengths.dtype: is int64, must be int32");
  view = call.lengths;
  view.data = nullptr;
  expect_refusal(prepare(call.device_plan, view, call.workspace.bytes(), call.executor),
                 "kv_lengths.data: is null");
}

TEST(Prepare, ChecksTheWorkspace) {
  CudaCall call;
  const std::span<std::byte> workspace = call.workspace.bytes();
  expect_refusal(prepare(call.host_plan, {}, workspace.first(workspace.size() - 1), call.executor),
                 "must be >= plan.workspace_bytes", StatusCode::kWorkspaceTooSmall);
  call.host_plan.workspace_bytes -= 8;
  expect_refusal(prepare(call.host_plan, {}, workspace.subspan(8), call.executor),
                 "workspace.data(): is 8 past a multiple of 64 bytes");
}

TEST(Prepare, RefusesAPlanThatWasChangedByHand) {
  CudaCall call;
  WorkPlan work = call.host_plan;
  work.groups.cuts.pop_back();
  expect_refusal(prepare(work, {}, call.workspace.bytes(), call.executor),
                 "plan.groups.cuts.size(): is ");
  work = call.host_plan;
  work.groups.first_ranges.push_back(0);
  expect_refusal(prepare(work, {}, call.workspace.bytes(), call.executor),
                 "plan.groups.first_ranges.size(): is ");
  work = call.host_plan;
  work.kv_lengths.pop_back();
  expect_refusal(prepare(work, {}, call.workspace.bytes(), call.executor),
                 "plan.kv_lengths.size(): is 2, must be 3");
  work = call.host_plan;
  work.kernel_name = "cpu_generic";
  expect_refusal(prepare(work, {}, call.workspace.bytes(), call.executor),
                 "plan.kernel_name: is \"cpu_generic\" for a CUDA device");
}

// ---- decode ----

TEST(CudaDecode, ChecksViewsAsTheCpuDoes) {
  CudaCall call;
  DecodeArgs args = call.args;
  args.q.shape[3] = 64;
  expect_refusal(decode(call.device_plan, args, call.executor),
                 "q.shape[3]: is 64, must be d_qk = 576");
  args = call.args;
  args.out.dtype = DType::kFloat16;
  expect_refusal(decode(call.device_plan, args, call.executor), "out.dtype: is float16");
  args = call.args;
  args.cache.block_table = {};
  expect_refusal(decode(call.device_plan, args, call.executor), "block_table: is not given");
  args = call.args;
  args.workspace = args.workspace.first(64);
  expect_refusal(decode(call.device_plan, args, call.executor), "must be >= plan.workspace_bytes",
                 StatusCode::kWorkspaceTooSmall);
  args = call.args;
  args.cache.block_table.shape[1] = 1;
  expect_refusal(decode(call.host_plan, args, call.executor),
                 "block_table.shape[1]: is 1, must be max_pages >= 5");
}

TEST(CudaDecode, ChecksThePlanOnlyWhereAsked) {
  CudaCall call;
  call.host_plan.groups.shape.row_groups = 7;
  expect_refusal(decode(call.host_plan, call.args, call.executor, DataCheck::kVerify),
                 "plan.groups.shape.row_groups: is 7");
}

TEST(CudaDecode, RefusesAPrefillByHand) {
  CudaCall call;
  WorkPlan work = call.host_plan;
  work.problem.phase = Phase::kPrefill;
  work.q_lengths = {1, 0, 1};
  PrefillArgs args;
  expect_refusal(prefill(work, args, call.executor), "q: is not given");
  expect_refusal(decode(work, call.args, call.executor), "plan.problem.phase: is prefill");
}

/// Neither a device nor a CUDA build is needed for nothing.
TEST(CudaDecode, OfNothingTouchesNoDevice) {
  CaseSpec no_request = small_cuda_decode();
  no_request.kv_lengths = {};
  CaseSpec no_token = small_cuda_decode();
  no_token.problem.s_q = 0;
  for (const CaseSpec& spec : {no_request, no_token}) {
    CudaCall call(spec);
    EXPECT_EQ(call.host_plan.workspace_bytes, 0u);
    for (const WorkPlan* work : {&call.host_plan, &call.device_plan}) {
      Status status = prepare(*work, {}, {}, call.executor);
      EXPECT_TRUE(status.is_ok()) << status.message();
      for (const DataCheck check : {DataCheck::kTrust, DataCheck::kVerify}) {
        status = decode(*work, call.args, call.executor, check);
        EXPECT_TRUE(status.is_ok()) << status.message();
      }
    }
  }
}

}  // namespace
}  // namespace seesaw::testing
