// Split sequences that are merged by the blocks that made their pieces: the oracle's results, and
// the same bits call after call, whichever block comes last.
#include <algorithm>
#include <array>

#include "gpu/gpu_fixture.h"
#include "hardware/cuda/current_device.h"
#include "system/cuda_decode.h"
#include "system/registry.h"

namespace seesaw::testing {
namespace {

class MergeInBlock : public GpuTest {
 protected:
  /// The Hopper kernel's row of the table; nullptr on other devices.
  static const CudaKernel* kernel() {
    const KernelRow* row = find_kernel("sm90_decode_dense");
    return row != nullptr && test_device()->sm_arch == row->cuda()->sm_arch ? row->cuda() : nullptr;
  }
};

/// The most ranges that the pieces of a sequence lie in.
int most_pieces(const std::vector<Cut>& cuts) {
  int most = 1;
  int count = 1;
  for (std::size_t i = 1; i + 1 < cuts.size(); ++i) {
    count = cuts[i].block_idx == 0                                           ? 1
            : cuts[i].sequence_idx == cuts[i - 1].sequence_idx || count == 1 ? count + 1
                                                                             : 2;
    most = std::max(most, count);
  }
  return most;
}

CaseSpec random_spec(Rng& rng, std::vector<std::int32_t> lengths, int round) {
  CaseSpec spec =
      decode_spec(std::move(lengths), round % 2 == 0 ? 128 : 16, round % 3 == 0 ? 2 : 1);
  set_types(spec, pick<DType>(rng, {DType::kBFloat16, DType::kFloat16}));
  if (round % 5 == 1) spec.problem.out_dtype = DType::kFloat32;
  spec.problem.has_attn_sink = round % 4 < 2;
  spec.problem.mask = round % 6 == 0 ? Mask::kCausal : Mask::kNone;
  if (round % 5 == 2) {
    spec.problem.d_qk = 320;
    spec.problem.d_v = 256;
  }
  return spec;
}

TEST_F(MergeInBlock, GivesTheSameBitsInEveryCall) {
  if (kernel() == nullptr) GTEST_SKIP() << "no Hopper device: no kernel here merges in its blocks";
  CudaKernel leaves_merging = *kernel();
  leaves_merging.merges_pieces = false;
  int most = 0;
  for (int round = 0; round < 16; ++round) {
    // From three pieces a sequence to two; and one sequence among many that has most of the ranges.
    const std::int64_t batch = std::array{48, 60, 90, 128}[static_cast<std::size_t>(round) / 4];
    std::vector<std::int32_t> lengths =
        random_lengths(rng(), batch, 0, round % 4 == 1 ? 100 : 4000);
    if (round % 4 == 1) lengths[static_cast<std::size_t>(round)] = 40000;
    const CaseSpec spec = random_spec(rng(), std::move(lengths), round);
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    WorkPlan plan;
    const DeviceOptions options{.lengths =
                                    round % 8 < 4 ? LengthSource::kHost : LengthSource::kDevice};
    ASSERT_TRUE(device_case.compute(options, &plan));
    EXPECT_TRUE(device_case.check(spec.kv_lengths, device_arithmetic(attention_case, plan)));
    const auto expected = device_case.output_bits();
    ASSERT_GT(plan.groups.num_arrivals(), 0) << to_string(spec);
    most = std::max(most, most_pieces(device_case.make_plan({}).value().groups.cuts));
    for (int call = 0; call < 6; ++call) {
      device_case.poison_outputs();
      const CudaKernel& way = call == 2 ? leaves_merging : *kernel();
      const Status status =
          decode_on_cuda(plan, way, device_case.args(), device_case.executor(), DataCheck::kTrust);
      ASSERT_TRUE(status) << status.message();
      device_case.download_outputs();
      if (call == 2) {  // by a kernel of its own, which rounds a little differently
        EXPECT_TRUE(device_case.check(spec.kv_lengths, device_arithmetic(attention_case, plan)));
      } else {
        ASSERT_EQ(device_case.output_bits(), expected) << call << " " << to_string(spec);
      }
    }
  }
  EXPECT_GT(most, kMergeFanIn * kMergeFanIn);  // three levels
}

/// More blocks than the device holds at once: whoever comes last may find the others long gone.
TEST_F(MergeInBlock, WaitsForNobody) {
  AttentionCase attention_case(decode_spec(random_lengths(rng(), 150, 0, 2000), 128), rng());
  DeviceCase device_case(attention_case, stream().get());
  for (int num_workers : {300, 500, 1000})
    EXPECT_TRUE(device_case.run({.num_workers = num_workers})) << num_workers;
}

}  // namespace
}  // namespace seesaw::testing
