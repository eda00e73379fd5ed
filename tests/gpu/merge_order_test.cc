// Small shapes whose split sequences are merged by the blocks that made the pieces, in whatever
// order the blocks come: the oracle's results and always the same bits.
#include <cstring>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

class MergeOrder : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!IsSkipped() && test_device()->sm_arch != 90)
      GTEST_SKIP() << "no Hopper device: no kernel here merges in its blocks";
  }

  /// Computes the case several times; on the emulated device the order is another one each time.
  void check(const CaseSpec& spec, int num_workers, int num_calls = 3) {
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    std::vector<std::byte> expected;
    for (int call = 0; call < num_calls; ++call) {
      WorkPlan plan;
      ASSERT_TRUE(device_case.compute({.num_workers = num_workers}, &plan));
      ASSERT_GT(plan.groups.num_arrivals(), 0) << to_string(spec);
      EXPECT_TRUE(device_case.check(spec.kv_lengths, device_arithmetic(attention_case, plan)));
      const std::vector<std::byte> bits = device_case.output_bits();
      if (call > 0) {
        EXPECT_EQ(bits, expected) << call << " " << to_string(spec);
      }
      expected = bits;
    }
  }
};

TEST_F(MergeOrder, ThreeLevels) {
  std::vector<std::int32_t> lengths = random_lengths(rng(), 34, 0, 3);
  lengths[9] = 100 * 64;
  check(decode_spec(std::move(lengths), 16), 100, 2);
}

TEST_F(MergeOrder, TwoBlocksAGroup) { check(decode_spec({600, 1, 1100, 70}, 128), 20); }

TEST_F(MergeOrder, PiecesAtBothEndsOfARange) {
  check(decode_spec({700, 900, 0, 100, 1300, 64}, 16), 11);
}

TEST_F(MergeOrder, FewRowsAndManyTypes) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const bool is_float32 : {false, true}) {
      CaseSpec spec = decode_spec({500, 333, 90}, 9, 2);
      set_types(spec, dtype);
      if (is_float32) spec.problem.out_dtype = DType::kFloat32;
      spec.problem.mask = Mask::kCausal;
      spec.problem.has_attn_sink = true;
      spec.problem.d_qk = 320;
      spec.problem.d_v = 256;
      check(spec, 7, 2);
    }
  }
}

/// Whether the last of a sequence's pieces is the first of a group, and another split sequence
/// begins in its range: two groups then have their first pieces there.
bool has_groups_in_one_range(const std::vector<Cut>& cuts) {
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const bool ends_one = cuts[i].block_idx > 0;
    const bool begins_another =
        cuts[i + 1].block_idx > 0 && cuts[i].sequence_idx < cuts[i + 1].sequence_idx;
    if (!ends_one || !begins_another) continue;
    std::size_t first = i;
    while (Cut{cuts[i].sequence_idx, 0} < cuts[first]) --first;
    if ((i - first) % kMergeFanIn == 0) return true;
  }
  return false;
}

TEST_F(MergeOrder, TwoGroupsBeginInOneRange) {
  int num_cases = 0;
  for (int trial = 0; trial < 2000 && num_cases < 3; ++trial) {
    // More sequences than workers: ranges hold several.
    std::vector<std::int32_t> lengths = random_lengths(rng(), 21, 0, 1);
    lengths[3] = static_cast<std::int32_t>(uniform(rng(), 2000, 5000));
    lengths[4] = static_cast<std::int32_t>(uniform(rng(), 300, 1500));
    CaseSpec spec = decode_spec(std::move(lengths), 16);
    spec.problem.batch = static_cast<std::int64_t>(spec.kv_lengths.size());
    DeviceSpec device = *test_device();
    device.num_workers = static_cast<int>(uniform(rng(), 14, 20));
    const WorkPlan plan = seesaw::plan(spec.problem, device, spec.kv_lengths).value();
    if (plan.groups.num_arrivals() == 0 || !has_groups_in_one_range(plan.groups.cuts)) continue;
    ++num_cases;
    check(spec, device.num_workers, 2);
  }
  EXPECT_EQ(num_cases, 3);
}

/// Rows of a float32 output begin at multiples of eight bytes, not of sixteen.
TEST_F(MergeOrder, Float32RowsAtEightBytes) {
  CaseSpec spec = decode_spec({500, 333, 90}, 9);
  spec.problem.out_dtype = DType::kFloat32;
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  WorkPlan plan;
  ASSERT_TRUE(device_case.compute({.num_workers = 7}, &plan));
  ASSERT_GT(plan.groups.num_arrivals(), 0);

  DecodeArgs args = device_case.args();
  const std::int64_t num_rows = 3 * 9;
  const std::int64_t row_stride = spec.problem.d_v + 2;
  const DeviceBuffer buffer(static_cast<std::size_t>(num_rows * row_stride + 2) * sizeof(float));
  buffer.fill(0xff, stream().get());
  args.out =
      TensorView(buffer.data() + 2 * sizeof(float), DType::kFloat32, {3, 1, 9, spec.problem.d_v},
                 {9 * row_stride, 9 * row_stride, row_stride, 1});
  const Status status = decode(plan, args, device_case.executor());
  ASSERT_TRUE(status) << status.message();
  std::vector<float> rows(buffer.size() / sizeof(float));
  buffer.download(std::as_writable_bytes(std::span(rows)), stream().get());
  stream().synchronize();
  const auto expected = std::as_bytes(std::span(attention_case.out_array().memory()));
  const std::size_t row_bytes = static_cast<std::size_t>(spec.problem.d_v) * sizeof(float);
  for (std::size_t row = 0; row < static_cast<std::size_t>(num_rows); ++row) {
    EXPECT_EQ(std::memcmp(rows.data() + 2 + row * static_cast<std::size_t>(row_stride),
                          expected.data() + row * row_bytes, row_bytes),
              0)
        << row;
  }
}

}  // namespace
}  // namespace seesaw::testing
