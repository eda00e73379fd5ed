// Dimensions, types, pages, gaps, sinks and distributions of scores, each with both kernels.
#include <limits>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Dimensions : public GpuTest {
 protected:
  /// With both kernels, in each mode.
  void check(const CaseSpec& spec) {
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    for (KernelChoice kernel : kAllKernels)
      for (ScheduleMode mode : kAllModes) {
        DeviceOptions options;
        options.kernel = kernel;
        options.plan.mode = mode;
        EXPECT_TRUE(device_case.run(options));
      }
  }
};

TEST_F(Dimensions, HeadsOfTheTunedKernel) {
  for (auto [d_qk, d_v] : {std::pair{576, 512}, std::pair{512, 512}, std::pair{320, 256}})
    for (DType dtype : {DType::kBFloat16, DType::kFloat16})
      for (DType out_dtype : {dtype, DType::kFloat32}) {
        CaseSpec spec = decode_spec({1, 300, 64, 0, 129}, 20, 3);
        spec.problem.d_qk = d_qk;
        spec.problem.d_v = d_v;
        spec.problem.mask = Mask::kCausal;
        set_types(spec, dtype);
        spec.problem.out_dtype = out_dtype;
        check(spec);
      }
}

TEST_F(Dimensions, HeadsOfThePortableKernel) {
  for (auto [d_qk, d_v] : {std::pair{16, 16}, std::pair{48, 32}, std::pair{100, 36},
                           std::pair{192, 128}, std::pair{576, 64}, std::pair{576, 576}}) {
    CaseSpec spec = decode_spec({5, 130, 0, 64}, 6, 2);
    spec.problem.d_qk = d_qk;
    spec.problem.d_v = d_v;
    spec.problem.has_attn_sink = true;
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    RunReport report;
    EXPECT_TRUE(device_case.run({}, &report));
    EXPECT_EQ(report.plan.kernel_name, "portable_decode_dense");
  }
}

TEST_F(Dimensions, PageSizes) {
  for (std::int64_t page_size : {1, 3, 16, 32, 48, 64, 100, 128, 256}) {
    CaseSpec spec = decode_spec({700, 1, 0, 255, 256, 257}, 17);
    spec.problem.page_size = page_size;
    spec.problem.h_kv = 1;
    check(spec);
    spec.layout = Layout::kAlignedGaps;
    check(spec);
  }
}

TEST_F(Dimensions, Gaps) {
  for (Layout layout : {Layout::kAlignedGaps, Layout::kGaps})
    for (std::int64_t h_kv : {1, 2, 8}) {
      CaseSpec spec = decode_spec({130, 0, 64, 33}, 16, 2);
      spec.problem.h_kv = h_kv;
      spec.problem.has_attn_sink = true;
      spec.problem.mask = Mask::kCausal;
      spec.layout = layout;
      check(spec);
      spec.problem.out_dtype = DType::kFloat32;
      check(spec);
    }
}

TEST_F(Dimensions, Sinks) {
  CaseSpec spec = decode_spec({0, 65, 700}, 8);
  spec.problem.has_attn_sink = true;
  spec.attn_sink = {kInfinity, -kInfinity, 1e38f, -1e38f, 0.0f, 7.0f, -7.0f, 100.0f};
  for (const auto& [shape, shift] :
       {std::pair{ScoreShape::kNormal, 0.0}, std::pair{ScoreShape::kOffset, -300.0},
        std::pair{ScoreShape::kOffset, 300.0}}) {
    spec.shape = shape;
    spec.shift = shift;
    check(spec);
  }
}

TEST_F(Dimensions, DistributionsOfScores) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat16})
    for (ScoreShape shape : {ScoreShape::kDominantFirst, ScoreShape::kDominantMiddle,
                             ScoreShape::kDominantLast, ScoreShape::kRising, ScoreShape::kOffset,
                             ScoreShape::kEqualKeys, ScoreShape::kEqualValues}) {
      for (double shift : {2.0, 12.0, 60.0}) {
        CaseSpec spec = decode_spec({1000, 70, 1}, 20);
        set_types(spec, dtype);
        spec.shape = shape;
        spec.shift = shape == ScoreShape::kOffset ? -shift : shift;
        check(spec);
      }
    }
}

TEST_F(Dimensions, SoftmaxScales) {
  for (float scale : {0.0f, 1.0f, -0.05f, 0.001f, 3.0f}) {
    CaseSpec spec = decode_spec({300, 64}, 9);
    spec.problem.softmax_scale = scale;
    if (scale == 0.0f) spec.stddev = 0.01;  // every weight is the same: the worst case holds
    check(spec);
  }
}

TEST_F(Dimensions, LseIsOptional) {
  CaseSpec spec = decode_spec({300, 0, 64}, 128);
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  for (KernelChoice kernel : kAllKernels)
    for (std::optional<std::int32_t> num_splits : {std::optional<std::int32_t>(), {3}}) {
      DeviceOptions options{.plan = {.num_splits = num_splits}, .kernel = kernel};
      ASSERT_TRUE(device_case.run(options));
      const std::vector<double> with_lse = attention_case.out();
      const WorkPlan plan = device_case.make_plan(options).value();
      device_case.poison_outputs();
      ASSERT_TRUE(device_case.prepare(plan).is_ok());
      DecodeArgs args = device_case.args();
      args.lse = {};
      const Status status = seesaw::decode(plan, args, device_case.executor());
      ASSERT_TRUE(status.is_ok()) << status.message();
      device_case.download_outputs();
      EXPECT_EQ(attention_case.out(), with_lse);
      for (double x : attention_case.lse()) EXPECT_TRUE(std::isnan(x));  // not written
    }
}

}  // namespace
}  // namespace seesaw::testing
