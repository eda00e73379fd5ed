// CUDA graphs: captured once, replayed with other lengths, padded and fewer requests.
#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

/// Makes everything that requests of these lengths do not reference unreadable: NaN behind a
/// request's last key, garbage in its block table.
void shorten(AttentionCase& attention_case, DeviceCase& device_case,
             const std::vector<std::int32_t>& kv_lengths) {
  const AttentionProblem& p = attention_case.problem();
  StridedArray& table = attention_case.block_table();
  StridedArray& pool = attention_case.kv_cache();
  for (std::int64_t request = 0; request < p.batch; ++request) {
    const std::int64_t length = kv_lengths[static_cast<std::size_t>(request)];
    const std::int64_t last_page = (length - 1) / p.page_size;
    if (length % p.page_size != 0) {
      const auto page = static_cast<std::int64_t>(table.read(table.offset({request, last_page})));
      for (std::int64_t slot = length % p.page_size; slot < p.page_size; ++slot)
        for (std::int64_t d = 0; d < p.d_qk; ++d)
          pool.write(pool.offset({page, slot, 0, d}), std::numeric_limits<double>::quiet_NaN());
    }
    for (std::int64_t i = length > 0 ? last_page + 1 : 0; i < table.shape()[1]; ++i)
      table.write(table.offset({request, i}), i % 2 == 0 ? -1 : 0x7fffffff);
  }
  device_case.upload_cache();
}

using GraphParam = std::tuple<KernelChoice, ScheduleMode, std::int64_t>;

class Graphs : public GpuTest, public ::testing::WithParamInterface<GraphParam> {};

TEST_P(Graphs, CapturedOnceReplayedWithOtherLengths) {
  const auto [kernel, mode, h_q] = GetParam();
  const std::vector<std::int32_t> longest = {2000, 129, 64, 900, 1, 700};
  AttentionCase attention_case(decode_spec(longest, h_q), rng());
  DeviceCase device_case(attention_case, stream().get());
  const WorkPlan plan =
      device_case
          .make_plan({.plan = {.mode = mode}, .lengths = LengthSource::kDevice, .kernel = kernel})
          .value();
  device_case.make_workspace(plan);
  device_case.set_lengths({{0, 0, 0, 0, 0, 0}});  // what was captured must not matter
  stream().synchronize();
  const Graph graph(stream().get(), [&] {
    EXPECT_TRUE(device_case.prepare(plan).is_ok());
    EXPECT_TRUE(device_case.decode(plan).is_ok());
  });

  for (const std::vector<std::int32_t>& lengths :
       {longest,
        {1999, 128, 64, 65, 1, 0},  // a little, and much shorter
        {1500, 0, 0, 64, 0, 0},     // fewer requests: the others padded
        {0, 0, 0, 63, 0, 0},
        {0, 0, 0, 0, 0, 0}}) {
    shorten(attention_case, device_case, lengths);
    device_case.set_lengths(lengths);
    for (int replay = 0; replay < 3; ++replay) {
      device_case.poison_outputs();
      graph.launch(stream().get());
      device_case.download_outputs();
      auto arithmetic = arithmetic_of(plan);
      arithmetic.num_splits = plan.groups.shape.num_ranges;
      EXPECT_TRUE(device_case.check(lengths, arithmetic))
          << "replay " << replay << " of lengths " << ::testing::PrintToString(lengths);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Graphs,
                         ::testing::Combine(::testing::ValuesIn(kAllKernels),
                                            ::testing::ValuesIn(kAllModes),
                                            ::testing::Values(16, 128)));

class GraphOfHostPlan : public GpuTest {};

TEST_F(GraphOfHostPlan, PrepareAndDecodeAreCaptured) {
  AttentionCase attention_case(decode_spec({2000, 0, 129, 64}, 128), rng());
  DeviceCase device_case(attention_case, stream().get());
  ASSERT_TRUE(device_case.run({}));
  const auto expected = device_case.output_bits();
  const Graph graph(stream().get(), [&] {
    const WorkPlan plan = device_case.make_plan({}).value();  // gone at replay
    EXPECT_TRUE(device_case.prepare(plan).is_ok());
    EXPECT_TRUE(device_case.decode(plan).is_ok());
  });
  for (int replay = 0; replay < 3; ++replay) {
    device_case.workspace().fill(0xff, stream().get());
    device_case.poison_outputs();
    graph.launch(stream().get());
    device_case.download_outputs();
    EXPECT_EQ(device_case.output_bits(), expected);
  }
}

TEST_F(GraphOfHostPlan, ManyDecodesInARow) {
  // Back to back without a gap: dependent launches must not read what the one before still writes.
  AttentionCase attention_case(decode_spec(random_lengths(rng(), 30, 0, 1500), 128), rng());
  DeviceCase device_case(attention_case, stream().get());
  ASSERT_TRUE(device_case.run({.lengths = LengthSource::kDevice}));
  const auto expected = device_case.output_bits();
  const WorkPlan plan = device_case.make_plan({.lengths = LengthSource::kDevice}).value();
  const Graph graph(stream().get(), [&] {
    for (int layer = 0; layer < 20; ++layer) {
      EXPECT_TRUE(device_case.prepare(plan).is_ok());
      EXPECT_TRUE(device_case.decode(plan).is_ok());
    }
  });
  device_case.poison_outputs();
  graph.launch(stream().get());
  device_case.download_outputs();
  EXPECT_EQ(device_case.output_bits(), expected);
}

}  // namespace
}  // namespace seesaw::testing
