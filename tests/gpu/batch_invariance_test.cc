// Batch-invariant mode: a request's result is the same bits alone, in any batch, at any position.
#include <cstring>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

/// Bits of one request's out and lse.
std::vector<std::byte> bits_of_request(const AttentionCase& attention_case,
                                       std::int64_t request_idx) {
  std::vector<std::byte> bits;
  for (const StridedArray* array : {&attention_case.out_array(), &attention_case.lse_array()}) {
    const std::span<std::byte> memory = array->memory();
    const std::size_t each =
        memory.size() / static_cast<std::size_t>(attention_case.problem().batch);
    const auto first =
        memory.begin() + static_cast<std::ptrdiff_t>(each * static_cast<std::size_t>(request_idx));
    bits.insert(bits.end(), first, first + static_cast<std::ptrdiff_t>(each));
  }
  return bits;
}

class BatchInvariance
    : public GpuTest,
      public ::testing::WithParamInterface<std::tuple<KernelChoice, LengthSource>> {
 protected:
  DeviceOptions options() const {
    DeviceOptions options;
    options.plan.mode = ScheduleMode::kBatchInvariant;
    options.kernel = std::get<0>(GetParam());
    options.lengths = std::get<1>(GetParam());
    return options;
  }

  /// The batch of `lengths`; request `place` of it is `request` itself: its queries and its keys.
  std::vector<std::byte> bits_in_batch(AttentionCase& request, std::vector<std::int32_t> lengths,
                                       std::size_t place, int num_workers) {
    CaseSpec spec = request.spec();
    lengths[place] = spec.kv_lengths[0];
    spec.kv_lengths = std::move(lengths);
    AttentionCase batch(spec, rng());
    copy_request(request, batch, static_cast<std::int64_t>(place));
    DeviceCase device_case(batch, stream().get());
    DeviceOptions with_workers = options();
    with_workers.num_workers = num_workers;
    EXPECT_TRUE(device_case.run(with_workers));
    return bits_of_request(batch, static_cast<std::int64_t>(place));
  }

 private:
  static void copy_row(const StridedArray& from, std::int64_t from_offset, StridedArray& to,
                       std::int64_t to_offset, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to.write(to_offset + i, from.read(from_offset + i));
  }

  static void copy_request(AttentionCase& from, AttentionCase& to, std::int64_t place) {
    const AttentionProblem& p = from.problem();
    for (std::int64_t query = 0; query < p.s_q; ++query)
      for (std::int64_t head = 0; head < p.h_q; ++head)
        copy_row(from.q(), from.q().offset({0, query, head, 0}), to.q(),
                 to.q().offset({place, query, head, 0}), p.d_qk);
    const auto page_of = [&](AttentionCase& of, std::int64_t request, std::int64_t key) {
      const StridedArray& table = of.block_table();
      return static_cast<std::int64_t>(table.read(table.offset({request, key / p.page_size})));
    };
    for (std::int64_t key = 0; key < from.spec().kv_lengths[0]; ++key)
      for (std::int64_t head = 0; head < p.h_kv; ++head) {
        const std::int64_t slot = key % p.page_size;
        copy_row(from.kv_cache(), from.kv_cache().offset({page_of(from, 0, key), slot, head, 0}),
                 to.kv_cache(), to.kv_cache().offset({page_of(to, place, key), slot, head, 0}),
                 p.d_qk);
      }
  }
};

TEST_P(BatchInvariance, AloneAndInAnyBatchAtAnyPosition) {
  for (std::int64_t h_q : {16, 128})
    for (std::int32_t length : {1, 64, 1000, 1025, 5000}) {
      CaseSpec spec = decode_spec({length}, h_q, 2);
      spec.problem.mask = Mask::kCausal;
      AttentionCase request(spec, rng());
      DeviceCase device_case(request, stream().get());
      ASSERT_TRUE(device_case.run(options()));
      const auto alone = bits_of_request(request, 0);
      for (std::size_t batch : {2, 7, 40}) {
        const auto lengths = random_lengths(rng(), static_cast<std::int64_t>(batch), 0,
                                            6000 / static_cast<int>(batch));
        for (std::size_t place : {std::size_t{0}, batch / 2, batch - 1})
          EXPECT_EQ(bits_in_batch(request, lengths, place, 0), alone)
              << "length " << length << ", h_q " << h_q << ", batch " << batch << " at " << place;
      }
      EXPECT_EQ(bits_in_batch(request, {0, 9, 300}, 0, 40), alone) << "40 workers";
    }
}

TEST_P(BatchInvariance, OtherModesNeedNotBe) {
  // What the test above asks is not true of itself: throughput mode cuts by the whole batch.
  if (std::get<0>(GetParam()) != KernelChoice::kBest) GTEST_SKIP() << "once is enough";
  CaseSpec spec = decode_spec({5000}, 16);
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  ASSERT_TRUE(device_case.run(options()));
  const auto invariant = device_case.output_bits();
  DeviceOptions latency = options();
  latency.plan.mode = ScheduleMode::kLatency;
  ASSERT_TRUE(device_case.run(latency));
  EXPECT_NE(device_case.output_bits(), invariant);
}

INSTANTIATE_TEST_SUITE_P(Kernels, BatchInvariance,
                         ::testing::Combine(::testing::ValuesIn(kAllKernels),
                                            ::testing::ValuesIn(kAllLengthSources)));

}  // namespace
}  // namespace seesaw::testing
