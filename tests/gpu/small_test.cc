// Small shapes that take every path of every kernel once: what a memory or race checker runs
// (--gtest_filter='*Small*').
#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

class Small : public GpuTest,
              public ::testing::WithParamInterface<std::tuple<KernelChoice, LengthSource>> {
 protected:
  void check(const CaseSpec& spec, const PlanOptions& plan = {}, int num_workers = 6) {
    DeviceOptions options;
    options.plan = plan;
    options.kernel = std::get<0>(GetParam());
    options.lengths = std::get<1>(GetParam());
    options.num_workers = num_workers;
    run(spec, options);
  }
};

TEST_P(Small, WholeSequences) { check(decode_spec({65, 0, 1, 128, 200, 7, 64, 63}, 16)); }

TEST_P(Small, SequencesCutByRanges) {
  check(decode_spec({700, 0, 300, 65}, 70), {.mode = ScheduleMode::kThroughput});
}

TEST_P(Small, OneSequenceForAllWorkers) {
  check(decode_spec({900}, 128), {.mode = ScheduleMode::kLatency});
}

/// More than a block lists ahead, whole sequences and long ones.
TEST_P(Small, ManyTilesABlock) {
  check(decode_spec({60, 70, 1900, 0, 63, 1, 2, 3, 4, 5, 6, 7}, 9), {}, 1);
}

/// More than one warp of the merge adds, and more than once.
TEST_P(Small, ManyPieces) {
  check(decode_spec({1500}, 9), {.mode = ScheduleMode::kLatency}, 23);
  check(decode_spec({1700, 1, 2}, 9), {.mode = ScheduleMode::kLatency}, 26);
}

TEST_P(Small, PiecesByLengthAlone) {
  check(decode_spec({2100, 10}, 8), {.mode = ScheduleMode::kBatchInvariant});
  check(decode_spec({400, 10, 0}, 8), {.num_splits = 4});
}

TEST_P(Small, CausalRowTiles) {
  CaseSpec spec = decode_spec({130, 3, 0, 65}, 48, 4);
  spec.problem.mask = Mask::kCausal;
  spec.problem.has_attn_sink = true;
  check(spec);
}

TEST_P(Small, KvHeadsAndGaps) {
  for (Layout layout : {Layout::kAlignedGaps, Layout::kGaps}) {
    CaseSpec spec = decode_spec({130, 3, 0}, 6, 2);
    spec.problem.h_kv = 2;
    spec.layout = layout;
    check(spec);
  }
}

TEST_P(Small, DimensionsAndTypes) {
  for (auto [d_qk, d_v] : {std::pair{512, 512}, std::pair{320, 256}, std::pair{48, 32}}) {
    CaseSpec spec = decode_spec({130, 64}, 10);
    spec.problem.d_qk = d_qk;
    spec.problem.d_v = d_v;
    set_types(spec, DType::kFloat16);
    check(spec);
    spec.problem.out_dtype = DType::kFloat32;
    check(spec);
  }
}

TEST_P(Small, PageSizes) {
  for (std::int64_t page_size : {1, 16, 32, 100, 128, 256}) {
    CaseSpec spec = decode_spec({300, 64, 1}, 10);
    spec.problem.page_size = page_size;
    check(spec);
  }
}

TEST_P(Small, DataCheck) {
  CaseSpec spec = decode_spec({130, 0, 65}, 10);
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  EXPECT_TRUE(device_case.run({.lengths = std::get<1>(GetParam()),
                               .kernel = std::get<0>(GetParam()),
                               .check = DataCheck::kVerify}));
}

INSTANTIATE_TEST_SUITE_P(Kernels, Small,
                         ::testing::Combine(::testing::ValuesIn(kAllKernels),
                                            ::testing::ValuesIn(kAllLengthSources)));

}  // namespace
}  // namespace seesaw::testing
