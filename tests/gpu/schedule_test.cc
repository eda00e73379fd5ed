// How work is divided must not matter: forced splits, numbers of workers, modes, replanning; the
// same call a hundred times gives the same bits.
#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

class Schedule : public GpuTest {};

TEST_F(Schedule, EverySplitCountUpToTheBlocks) {
  CaseSpec spec = decode_spec({64 * 12, 1, 0, 64 * 5 + 1}, 128, 2);
  spec.problem.mask = Mask::kCausal;
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  for (KernelChoice kernel : kAllKernels)
    for (LengthSource lengths : kAllLengthSources)
      for (std::int32_t num_splits = 1; num_splits <= 14; ++num_splits) {
        DeviceOptions options{
            .plan = {.num_splits = num_splits}, .lengths = lengths, .kernel = kernel};
        EXPECT_TRUE(device_case.run(options)) << num_splits << " splits";
      }
}

TEST_F(Schedule, ManySplitsOfOneRequest) {
  AttentionCase attention_case(decode_spec({64 * 300 + 5}, 16), rng());
  DeviceCase device_case(attention_case, stream().get());
  for (std::int32_t num_splits : {2, 31, 32, 33, 64, 127, 132, 200, 301, 1000})
    EXPECT_TRUE(device_case.run({.plan = {.num_splits = num_splits}})) << num_splits;
}

TEST_F(Schedule, AnyNumberOfWorkers) {
  for (std::int64_t h_q : {16, 128}) {
    AttentionCase attention_case(decode_spec(random_lengths(rng(), 9, 0, 900), h_q), rng());
    DeviceCase device_case(attention_case, stream().get());
    for (int num_workers : {1, 2, 3, 7, 16, 64, 131, 132, 133, 500})
      for (ScheduleMode mode : kAllModes)
        for (LengthSource lengths : kAllLengthSources) {
          DeviceOptions options{
              .plan = {.mode = mode}, .lengths = lengths, .num_workers = num_workers};
          EXPECT_TRUE(device_case.run(options)) << num_workers << " workers";
        }
  }
}

TEST_F(Schedule, LengthsOnTheDeviceGiveTheBitsOfLengthsOnTheHost) {
  for (int round = 0; round < 12; ++round) {
    const std::int64_t batch = pick<std::int64_t>(rng(), {1, 2, 5, 40, 300});
    CaseSpec spec = decode_spec(random_lengths(rng(), batch, 0, batch > 100 ? 200 : 3000),
                                pick<std::int64_t>(rng(), {16, 100, 128}));
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    for (ScheduleMode mode : kAllModes) {
      DeviceOptions options{.plan = {.mode = mode}};
      ASSERT_TRUE(device_case.run(options));
      const auto expected = device_case.output_bits();
      options.lengths = LengthSource::kDevice;
      ASSERT_TRUE(device_case.run(options));
      EXPECT_EQ(device_case.output_bits(), expected) << to_string(spec);
    }
  }
}

TEST_F(Schedule, AHundredRunsAreBitEqual) {
  for (KernelChoice kernel : kAllKernels)
    for (const auto& [lengths, h_q] :
         {std::pair{random_lengths(rng(), 20, 0, 2000), std::int64_t{128}},
          std::pair{std::vector<std::int32_t>{9000}, std::int64_t{16}},
          std::pair{random_lengths(rng(), 150, 0, 300), std::int64_t{64}}}) {
      AttentionCase attention_case(decode_spec(lengths, h_q), rng());
      DeviceCase device_case(attention_case, stream().get());
      for (ScheduleMode mode : kAllModes) {
        const DeviceOptions options{
            .plan = {.mode = mode}, .lengths = LengthSource::kDevice, .kernel = kernel};
        ASSERT_TRUE(device_case.run(options));
        const auto expected = device_case.output_bits();
        const WorkPlan plan = device_case.make_plan(options).value();
        for (int repetition = 0; repetition < 100; ++repetition) {
          device_case.poison_outputs();
          ASSERT_TRUE(device_case.prepare(plan).is_ok());
          ASSERT_TRUE(device_case.decode(plan).is_ok());
          device_case.download_outputs();
          ASSERT_EQ(device_case.output_bits(), expected)
              << "run " << repetition << ", " << to_string(options);
        }
      }
    }
}

TEST_F(Schedule, OnePlanServesManyCallsWithoutPreparingAgain) {
  AttentionCase attention_case(decode_spec({1000, 0, 64, 2000}, 128), rng());
  DeviceCase device_case(attention_case, stream().get());
  ASSERT_TRUE(device_case.run({}));
  const auto expected = device_case.output_bits();
  const WorkPlan plan = device_case.make_plan({}).value();
  for (int call = 0; call < 5; ++call) {  // slots hold what the last call left
    device_case.poison_outputs();
    ASSERT_TRUE(device_case.decode(plan).is_ok());
    device_case.download_outputs();
    EXPECT_EQ(device_case.output_bits(), expected);
  }
}

TEST_F(Schedule, ReplanAndPrepareFollowNewLengths) {
  const std::vector<std::int32_t> longest = {3000, 900, 128, 700};
  AttentionCase attention_case(decode_spec(longest, 64), rng());
  DeviceCase device_case(attention_case, stream().get());
  WorkPlan plan = device_case.make_plan({}).value();
  device_case.make_workspace(plan);
  for (const std::vector<std::int32_t>& lengths :
       {longest, {1, 0, 128, 2}, {0, 0, 0, 0}, {2999, 900, 1, 64}}) {
    ASSERT_TRUE(replan(plan, lengths).is_ok());
    ASSERT_LE(plan.workspace_bytes, device_case.workspace().size());
    device_case.poison_outputs();
    ASSERT_TRUE(device_case.prepare(plan).is_ok());
    ASSERT_TRUE(device_case.decode(plan).is_ok());
    device_case.download_outputs();
    EXPECT_TRUE(device_case.check(lengths, arithmetic_of(plan)));
  }
}

}  // namespace
}  // namespace seesaw::testing
