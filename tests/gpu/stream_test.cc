// Streams: the default one, others, and two at once.
#include <atomic>
#include <chrono>
#include <thread>

#include "gpu/gpu_fixture.h"
#include "seesaw/device_memory.h"

namespace seesaw::testing {
namespace {

class Streams : public GpuTest {};

TEST_F(Streams, TheDefaultStream) {
  AttentionCase attention_case(decode_spec({700, 0, 64}, 128), rng());
  DeviceCase device_case(attention_case, nullptr);
  for (LengthSource lengths : kAllLengthSources) EXPECT_TRUE(device_case.run({.lengths = lengths}));
}

TEST_F(Streams, ABlockingStream) {
  cudaStream_t blocking = nullptr;
  require_cuda(cudaStreamCreate(&blocking), "cudaStreamCreate");
  {
    AttentionCase attention_case(decode_spec({700, 0, 64}, 16), rng());
    DeviceCase device_case(attention_case, blocking);
    EXPECT_TRUE(device_case.run({.lengths = LengthSource::kDevice}));
  }
  require_cuda(cudaStreamDestroy(blocking), "cudaStreamDestroy");
}

TEST_F(Streams, TwoAtOnceDoNotDisturbEachOther) {
  const DeviceStream other;
  AttentionCase first_case(decode_spec(random_lengths(rng(), 40, 0, 2000), 128), rng());
  AttentionCase second_case(decode_spec({9000, 3}, 16), rng());
  DeviceCase first(first_case, stream().get());
  DeviceCase second(second_case, other.get());
  const DeviceOptions options{.lengths = LengthSource::kDevice};
  ASSERT_TRUE(first.run(options));
  ASSERT_TRUE(second.run(options));
  const auto first_bits = first.output_bits();
  const auto second_bits = second.output_bits();
  const WorkPlan first_plan = first.make_plan(options).value();
  const WorkPlan second_plan = second.make_plan(options).value();
  first.poison_outputs();
  second.poison_outputs();
  for (int call = 0; call < 50; ++call) {
    ASSERT_TRUE(first.prepare(first_plan).is_ok());
    ASSERT_TRUE(second.prepare(second_plan).is_ok());
    ASSERT_TRUE(first.decode(first_plan).is_ok());
    ASSERT_TRUE(second.decode(second_plan).is_ok());
  }
  first.download_outputs();
  second.download_outputs();
  EXPECT_EQ(first.output_bits(), first_bits);
  EXPECT_EQ(second.output_bits(), second_bits);
}

TEST_F(Streams, CallsReturnBeforeTheDeviceIsDone) {
  // A decode enqueued behind a second of waiting host work must not wait for it.
  AttentionCase attention_case(decode_spec({700, 0, 64}, 128), rng());
  DeviceCase device_case(attention_case, stream().get());
  const DeviceOptions options{.lengths = LengthSource::kDevice};
  ASSERT_TRUE(device_case.run(options));  // modules are loaded now
  const WorkPlan plan = device_case.make_plan(options).value();
  std::atomic<bool> may_go{false};
  require_cuda(cudaLaunchHostFunc(
                   stream().get(),
                   [](void* flag) {
                     while (!static_cast<std::atomic<bool>*>(flag)->load()) {
                     }
                   },
                   &may_go),
               "cudaLaunchHostFunc");
  EXPECT_TRUE(device_case.prepare(plan).is_ok());
  EXPECT_TRUE(device_case.decode(plan).is_ok());
  EXPECT_EQ(cudaStreamQuery(stream().get()), cudaErrorNotReady);
  may_go = true;
  device_case.download_outputs();
}

TEST_F(Streams, OneWaitsForAnotherOnTheDevice) {
  const DeviceStream other;
  const DeviceStream& waiting = stream();
  const int ordinal = test_device()->cuda_ordinal;
  std::atomic<bool> may_go{false};
  require_cuda(cudaLaunchHostFunc(
                   other.get(),
                   [](void* flag) {
                     while (!static_cast<std::atomic<bool>*>(flag)->load()) {
                     }
                   },
                   &may_go),
               "cudaLaunchHostFunc");
  const Status ordered =
      order_after(Executor::cuda(ordinal, waiting.get()), Executor::cuda(ordinal, other.get()));
  EXPECT_TRUE(ordered.is_ok()) << ordered.message();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(cudaStreamQuery(waiting.get()), cudaErrorNotReady);
  may_go = true;
  waiting.synchronize();
  EXPECT_EQ(cudaStreamQuery(other.get()), cudaSuccess);
}

/// The library keeps nothing on the device: the caller may reset it, with all arrays and workspaces
/// gone, and go on with new ones. No stream of the fixture's may live across it.
class DeviceReset : public GpuTest {};

TEST_F(DeviceReset, TheNextCallSetsTheKernelsUpAgain) {
  const CaseSpec spec = decode_spec({700, 0, 64}, 128);
  for (int round = 0; round < 3; ++round) {
    {
      AttentionCase attention_case(spec, rng());
      DeviceCase device_case(attention_case, nullptr);
      for (KernelChoice kernel : kAllKernels)
        for (LengthSource lengths : kAllLengthSources)
          EXPECT_TRUE(device_case.run({.lengths = lengths, .kernel = kernel})) << "round " << round;
    }
    require_cuda(cudaDeviceReset(), "cudaDeviceReset");
  }
}

}  // namespace
}  // namespace seesaw::testing
