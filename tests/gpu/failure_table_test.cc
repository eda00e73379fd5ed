// Failures that users of other libraries reported, on the device. Poison (NaN, garbage page ids)
// stands wherever a kernel must not read, in every test of this program.
#include <cmath>
#include <limits>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

class GpuFailureTable : public GpuTest {
 protected:
  void check(const CaseSpec& spec) {
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    for (KernelChoice kernel : kAllKernels)
      for (LengthSource lengths : kAllLengthSources)
        for (DataCheck data_check : {DataCheck::kTrust, DataCheck::kVerify}) {
          DeviceOptions options{.lengths = lengths, .kernel = kernel, .check = data_check};
          EXPECT_TRUE(device_case.run(options));
        }
  }

  /// Runs the case from a pool in which page p of the case is page p * id_step, pages are
  /// page_stride elements apart, and all else is NaN.
  void check_scattered(const CaseSpec& spec, std::int64_t page_stride, std::int32_t id_step);
};

// ---- "s_q = 0, b = 0 or total tokens 0 aborts" ----

TEST_F(GpuFailureTable, NothingToDoIsANoOp) {
  for (const CaseSpec& spec : {decode_spec({}), decode_spec({20, 0, 3}, 16, 0)}) check(spec);
}

TEST_F(GpuFailureTable, NothingToDoNeedsNoMemoryAndNoPreparation) {
  AttentionCase attention_case(decode_spec({}), rng());
  DeviceCase device_case(attention_case, stream().get());
  for (LengthSource lengths : kAllLengthSources) {
    const WorkPlan plan = device_case.make_plan({.lengths = lengths}).value();
    DecodeArgs args = device_case.args();
    args.workspace = {};
    args.q.data = args.out.data = args.lse.data = nullptr;
    args.cache.block_table.data = nullptr;
    args.cache.kv_cache = ConstTensorView(nullptr, DType::kBFloat16, {0, 64, 1, 576});
    const Status status = seesaw::decode(plan, args, device_case.executor());
    EXPECT_TRUE(status.is_ok()) << status.message();
  }
}

// ---- "gridDim.y or z over 65,535" ----

TEST_F(GpuFailureTable, SixtyFiveThousandRequestsAndMore) {
  for (std::int64_t batch : {65'535, 65'536, 70'000}) {
    CaseSpec spec = decode_spec(random_lengths(rng(), batch, 0, 3), 2);
    spec.problem.page_size = 16;
    spec.kv_lengths.front() = 5;
    spec.kv_lengths.back() = 7;
    AttentionCase attention_case(spec, rng());
    DeviceCase device_case(attention_case, stream().get());
    for (KernelChoice kernel : kAllKernels)
      for (LengthSource lengths : kAllLengthSources)
        EXPECT_TRUE(device_case.run({.lengths = lengths, .kernel = kernel}));
  }
}

TEST_F(GpuFailureTable, SixtyFiveThousandQueryTokensAndMore) {
  for (std::int64_t s_q : {65'535, 65'536, 70'000})
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      CaseSpec spec = decode_spec({200}, 1, s_q);  // causal: only the last 200 tokens see a key
      spec.problem.mask = mask;
      AttentionCase attention_case(spec, rng());
      DeviceCase device_case(attention_case, stream().get());
      for (KernelChoice kernel : kAllKernels)
        for (LengthSource lengths : kAllLengthSources)
          EXPECT_TRUE(device_case.run({.lengths = lengths, .kernel = kernel}));
    }
}

// ---- "32-bit products of page and stride wrap" ----

void GpuFailureTable::check_scattered(const CaseSpec& spec, std::int64_t page_stride,
                                      std::int32_t id_step) {
  AttentionCase attention_case(spec, rng());
  DeviceCase device_case(attention_case, stream().get());
  const StridedArray& pool = attention_case.kv_cache();
  const std::int64_t num_pages = pool.shape()[0];
  const std::int64_t num_far_pages = (num_pages - 1) * id_step + 1;
  const auto page_bytes = pool.memory().size() / static_cast<std::size_t>(num_pages);
  const auto element_bytes = static_cast<std::int64_t>(size_bytes(pool.dtype()));

  const DeviceBuffer far(
      static_cast<std::size_t>((num_far_pages - 1) * page_stride * element_bytes) + page_bytes);
  far.fill(0xff, stream().get());
  for (std::int64_t page = 0; page < num_pages; ++page)
    require_cuda(cudaMemcpyAsync(far.data() + page * id_step * page_stride * element_bytes,
                                 pool.memory().data() + static_cast<std::size_t>(page) * page_bytes,
                                 page_bytes, cudaMemcpyHostToDevice, stream().get()),
                 "cudaMemcpyAsync of a page");
  StridedArray& table = attention_case.block_table();
  StridedArray far_table = StridedArray(DType::kInt32, table.shape());
  for (std::int64_t request = 0; request < table.shape()[0]; ++request)
    for (std::int64_t i = 0; i < table.shape()[1]; ++i) {
      const auto page = static_cast<std::int64_t>(table.read(table.offset({request, i})));
      const bool is_used = page >= 0 && page < num_pages;
      far_table.write(far_table.offset({request, i}),
                      static_cast<double>(is_used ? page * id_step : page));
    }
  const DeviceArray device_table(far_table, stream().get());

  for (KernelChoice kernel : kAllKernels)
    for (DataCheck data_check : {DataCheck::kTrust, DataCheck::kVerify}) {
      const WorkPlan plan = device_case.make_plan({.kernel = kernel}).value();
      device_case.make_workspace(plan);
      device_case.poison_outputs();
      ASSERT_TRUE(device_case.prepare(plan).is_ok());
      DecodeArgs args = device_case.args();
      args.cache.kv_cache.data = far.data();
      args.cache.kv_cache.shape[0] = num_far_pages;
      args.cache.kv_cache.stride[0] = page_stride;
      args.cache.block_table = device_table.view();
      const Status status = seesaw::decode(plan, args, device_case.executor(), data_check);
      ASSERT_TRUE(status.is_ok()) << status.message();
      device_case.download_outputs();
      EXPECT_TRUE(device_case.check(spec.kv_lengths, arithmetic_of(plan)));
    }
}

TEST_F(GpuFailureTable, PoolsOfMoreThanFourGigabytes) {
  CaseSpec spec = decode_spec({64 * 40, 700}, 20);  // 53 pages, the last one 5.7 GB into the pool
  check_scattered(spec, 64 * 576, 1500);
}

TEST_F(GpuFailureTable, PageStridesOfMoreThanOneMegabyte) {
  CaseSpec spec = decode_spec({64 * 9, 100}, 20);
  check_scattered(spec, (std::int64_t{3} << 20) + 8, 1);
  check_scattered(spec, (std::int64_t{1} << 20) + 8, 40);
}

TEST_F(GpuFailureTable, PageStridesOfMoreThanFourGigabytes) {
  CaseSpec spec = decode_spec({130}, 20);  // 3 pages and 2 spare ones
  check_scattered(spec, (std::int64_t{1} << 31) + 8, 1);
}

// ---- "NaN in slots that no request references leaks into the output" ----

TEST_F(GpuFailureTable, PoisonBehindTheLengthDoesNotLeak) {
  for (std::int64_t page_size : {16, 64, 100, 256}) {
    CaseSpec spec = decode_spec({1, 15, 16, 17, 63, 65, 130, 255, 257}, 16);
    spec.problem.page_size = page_size;
    check(spec);
    spec.problem.s_q = 3;
    spec.problem.mask = Mask::kCausal;
    check(spec);
  }
}

// ---- "empty KV" ----

TEST_F(GpuFailureTable, EmptyKvGivesZeroAndPlusInfinity) {
  for (const bool has_sink : {false, true})
    for (CaseSpec spec : {decode_spec({0, 0, 0}), decode_spec({0, 33, 0}),
                          decode_spec(std::vector<std::int32_t>(300, 0), 128)}) {
      spec.problem.has_attn_sink = has_sink;
      check(spec);
    }
  AttentionCase empty(decode_spec({0}, 16, 3), rng());
  DeviceCase device_case(empty, stream().get());
  ASSERT_TRUE(device_case.compute({}).is_ok());
  for (const double x : empty.out()) EXPECT_EQ(x, 0.0);
  for (const double x : empty.lse()) EXPECT_EQ(x, std::numeric_limits<double>::infinity());
}

TEST_F(GpuFailureTable, CausalRowsThatSeeNoKeyAreEmpty) {
  for (std::int64_t h_q : {1, 16, 100}) {
    CaseSpec spec = decode_spec({0, 1, 3, 5, 9, 66}, h_q, 5);
    spec.problem.mask = Mask::kCausal;
    check(spec);
  }
}

// ---- "some split counts give wrong results": schedule_test.cc; "a graph replayed ...":
// graph_test.cc; "large sinks": dimensions_test.cc; "races": Schedule.AHundredRunsAreBitEqual;
// "results change with the batch": batch_invariance_test.cc ----

// ---- "output shrunk where one late token dominates" ----

TEST_F(GpuFailureTable, OneDominantTokenKeepsTheGain) {
  for (ScoreShape shape :
       {ScoreShape::kDominantFirst, ScoreShape::kDominantMiddle, ScoreShape::kDominantLast})
    for (double shift : {2.0, 4.0, 8.0, 12.0})
      for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
        CaseSpec spec = decode_spec({8000}, 16);
        set_types(spec, dtype);
        spec.problem.out_dtype = DType::kFloat32;
        spec.shape = shape;
        spec.shift = shift;
        AttentionCase attention_case(spec, rng());
        DeviceCase device_case(attention_case, stream().get());
        RunReport report;
        EXPECT_TRUE(device_case.run({}, &report));
        // The token's weight is rounded to the element type: half of the last of 8 or 11 bits.
        const double rounding = std::ldexp(1.0, dtype == DType::kBFloat16 ? -8 : -11);
        EXPECT_NEAR(report.out.gain, 1.0, rounding + 0.0002) << to_string(spec);
      }
}

}  // namespace
}  // namespace seesaw::testing
