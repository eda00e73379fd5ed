// The portable kernel where the tuned one does not go: any head dimension, any alignment, rows and
// keys that fill neither its tiles nor its steps.
#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

class Portable : public GpuTest {
 protected:
  void check(const CaseSpec& spec, PlanOptions plan = {}) {
    DeviceOptions options;
    options.plan = plan;
    options.kernel = KernelChoice::kPortable;
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    RunReport report;
    EXPECT_TRUE(device_case.run(options, &report));
    EXPECT_EQ(report.plan.kernel_name, "portable_decode_dense");
  }
};

CaseSpec spec_of(std::int64_t d_qk, std::int64_t d_v, DType dtype, Layout layout) {
  CaseSpec spec = decode_spec({130, 0, 33, 1, 64}, 5, 3);
  spec.problem.d_qk = d_qk;
  spec.problem.d_v = d_v;
  spec.problem.mask = Mask::kCausal;
  spec.problem.has_attn_sink = true;
  spec.layout = layout;
  set_types(spec, dtype);
  return spec;
}

// On both sides of what its instances hold: 320 and 256, 576 and 512, 1,024 in columns of 256.
TEST_F(Portable, HeadDimensionsAtTheInstancesLimits) {
  for (auto [d_qk, d_v] : {std::pair{1, 1}, std::pair{2, 1}, std::pair{15, 7}, std::pair{320, 256},
                           std::pair{320, 257}, std::pair{321, 256}, std::pair{576, 511},
                           std::pair{576, 513}, std::pair{577, 512}, std::pair{640, 256},
                           std::pair{768, 768}, std::pair{1023, 1000}, std::pair{1024, 1024}}) {
    for (DType dtype : {DType::kBFloat16, DType::kFloat16})
      for (Layout layout : {Layout::kCompact, Layout::kAlignedGaps, Layout::kGaps})
        check(spec_of(d_qk, d_v, dtype, layout));
  }
}

TEST_F(Portable, RandomHeadDimensions) {
  for (int i = 0; i < 40; ++i) {
    const std::int64_t d_qk = uniform(rng(), 1, kMaxHeadDim);
    CaseSpec spec = spec_of(
        d_qk, uniform(rng(), 1, d_qk), pick<DType>(rng(), {DType::kBFloat16, DType::kFloat16}),
        pick<Layout>(rng(), {Layout::kCompact, Layout::kAlignedGaps, Layout::kGaps}));
    spec.problem.out_dtype =
        pick<DType>(rng(), {DType::kFloat32, DType::kBFloat16, DType::kFloat16});
    spec.problem.page_size = uniform(rng(), 1, 100);
    check(spec, {.mode = pick(rng(), kAllModes)});
  }
}

// Splits of dimensions that need several passes: every pass writes its columns of the same slots.
TEST_F(Portable, SplitsOfManyColumns) {
  for (std::int64_t d : {600, 1024})
    for (std::int32_t num_splits : {2, 5}) {
      CaseSpec spec = decode_spec({700, 64, 0, 129}, 20, 4);
      spec.problem.d_qk = d;
      spec.problem.d_v = d;
      spec.problem.mask = Mask::kCausal;
      check(spec, {.num_splits = num_splits});
    }
}

TEST_F(Portable, RowsThatDoNotFillTiles) {
  for (std::int64_t h_q : {1, 7, 8, 9, 15, 16, 17, 31, 48, 63, 64, 65, 127, 128, 200, 300}) {
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      CaseSpec spec = decode_spec({100, 31, 0, 2}, h_q, h_q < 100 ? 3 : 1);
      spec.problem.mask = mask;
      check(spec);
    }
  }
}

// Of 32 keys, two of which are a block of the plan; 16 in the instance of many columns.
TEST_F(Portable, KeysThatDoNotFillSteps) {
  std::vector<std::int32_t> lengths;
  for (std::int32_t begin : {0, 16, 32, 64, 96, 128, 640})
    for (std::int32_t more : {-1, 0, 1, 7, 8, 9})
      if (begin + more >= 0) lengths.push_back(begin + more);
  for (std::int64_t d : {128, 512, 1024}) {
    CaseSpec spec = decode_spec(lengths, 4, 2);
    spec.problem.d_qk = d;
    spec.problem.d_v = d;
    check(spec);
    spec.problem.mask = Mask::kCausal;
    check(spec);
  }
}

TEST_F(Portable, MoreQueriesThanKeys) {
  CaseSpec spec = decode_spec({0, 1, 5, 40, 200}, 16, 50);
  spec.problem.mask = Mask::kCausal;
  check(spec);
  check(spec, {.num_splits = 3});
}

}  // namespace
}  // namespace seesaw::testing
