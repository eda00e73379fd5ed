// decode and prefill allocate nothing; planning again allocates nothing in the long run; and where
// planning runs out of memory, it says so and leaks nothing.
#include <gmock/gmock.h>

#include <new>
#include <vector>

#include "seesaw/c_api.h"
#include "support/allocation_hooks.h"
#include "system/cuda_call.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

/// Allocations that fn makes, on all threads.
template <typename Fn>
std::int64_t allocations_of(Fn&& fn) {
  const std::int64_t before = num_allocations();
  fn();
  return num_allocations() - before;
}

TEST(Hooks, SeeAllocations) {
  EXPECT_GE(allocations_of([] { std::vector<int> memory(100); }), 1);
}

class HotPath : public ::testing::TestWithParam<CpuIsa> {};
INSTANTIATE_TEST_SUITE_P(Isas, HotPath, ::testing::ValuesIn(supported_isas()), isa_name);

TEST_P(HotPath, DecodeAndPrefillAllocateNothing) {
  Executor executor = Executor::cpu(2);
  for (CaseSpec spec :
       {small_decode(), with_sink(small_top_k()), small_prefill(), with_sink(small_prefill())}) {
    set_types(spec.problem, type_for(GetParam()));
    spec.kv_lengths = {400, 0, 37};
    for (const DataCheck check : {DataCheck::kTrust, DataCheck::kVerify}) {
      PlanOptions options;
      options.num_splits = 3;
      SmallCall call(spec, options, GetParam());
      EXPECT_FALSE(call.plan.combines.empty() && spec.problem.sparsity == Sparsity::kDense);
      Status status;
      EXPECT_EQ(allocations_of([&] { status = call.run(executor, check); }), 0)
          << "the first run already";
      EXPECT_TRUE(status.is_ok()) << status.message();
    }
  }
}

void expect_no_allocation_of_replanning(const DeviceSpec& device) {
  for (const ScheduleMode mode :
       {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
    AttentionProblem problem;
    problem.batch = 8;
    std::vector<std::int32_t> lengths = {5000, 4800, 100, 0, 7, 900, 2500, 64};
    auto work = plan(problem, device, lengths, {}, {.mode = mode});
    ASSERT_TRUE(work.is_ok());
    // The longest lengths of the loop, so that no vector has to grow later.
    std::vector<std::int32_t> longest = lengths;
    for (auto& length : longest) length += 300;
    ASSERT_TRUE(replan(work.value(), longest).is_ok());
    for (int step = 0; step < 100; ++step) ASSERT_TRUE(replan(work.value(), lengths).is_ok());
    std::int64_t num_failed = 0;
    EXPECT_EQ(allocations_of([&] {
                for (int step = 0; step < 200; ++step) {
                  for (auto& length : lengths) ++length;
                  num_failed += replan(work.value(), lengths).is_ok() ? 0 : 1;
                }
              }),
              0)
        << to_string(mode);
    EXPECT_EQ(num_failed, 0);
  }
}

TEST(Replanning, AllocatesNothingInADecodeLoop) {
  DeviceSpec device;
  device.name = "a CPU whose name is too long for a string's own buffer";
  device.num_workers = 4;
  expect_no_allocation_of_replanning(device);
  expect_no_allocation_of_replanning(h100());
}

struct CCall {
  seesaw_plan* plan = nullptr;
  seesaw_executor* executor = nullptr;
  ~CCall() {
    seesaw_plan_destroy(plan);
    seesaw_executor_destroy(executor);
  }
};

seesaw_tensor c_tensor(const ConstTensorView& view) {
  seesaw_tensor tensor{};
  EXPECT_EQ(seesaw_tensor_init(&tensor, view.data, static_cast<int32_t>(view.dtype), view.rank,
                               view.shape.data(), view.stride.data()),
            SEESAW_OK);
  return tensor;
}

TEST(CApi, DecodeAndReplanAllocateNothing) {
  SmallCall call(small_decode());
  seesaw_problem problem;
  ASSERT_EQ(seesaw_problem_init(&problem, sizeof problem), SEESAW_OK);
  problem.batch = 3;
  problem.s_q = 2;
  problem.h_q = 6;
  problem.h_kv = 2;
  problem.d_qk = 24;
  problem.d_v = 16;
  problem.page_size = 4;
  problem.q_dtype = problem.out_dtype = SEESAW_FLOAT32;
  problem.kv_format = SEESAW_KV_FLOAT32;
  const std::int32_t kv_lengths[] = {5, 0, 9};
  const seesaw_lengths lengths = {sizeof lengths, kv_lengths, 3, nullptr, 0};
  CCall c;
  ASSERT_EQ(seesaw_plan_create(&problem, nullptr, &lengths, nullptr, &c.plan), SEESAW_OK);
  ASSERT_EQ(seesaw_executor_create_cpu(1, &c.executor), SEESAW_OK);
  seesaw_decode_args args{};
  args.struct_size = sizeof args;
  args.q = c_tensor(call.decode.q);
  args.cache.kv_cache = c_tensor(call.decode.cache.kv_cache);
  args.cache.block_table = c_tensor(call.decode.cache.block_table);
  args.out = c_tensor(call.decode.out);
  ASSERT_EQ(seesaw_plan_workspace_bytes(c.plan, &args.workspace_bytes), SEESAW_OK);
  const AlignedBytes workspace(args.workspace_bytes);
  args.workspace = workspace.bytes().data();
  seesaw_status decoded = SEESAW_INTERNAL;
  seesaw_status replanned = SEESAW_INTERNAL;
  EXPECT_EQ(allocations_of([&] {
              replanned = seesaw_replan(c.plan, &lengths, nullptr);
              decoded = seesaw_decode(c.plan, &args, c.executor);
            }),
            0);
  EXPECT_EQ(replanned, SEESAW_OK) << seesaw_last_error_message();
  EXPECT_EQ(decoded, SEESAW_OK) << seesaw_last_error_message();
}

/// Runs `create` with the first, the second, ... allocation failing until it succeeds.
template <typename Create>
void expect_out_of_memory_until_it_works(Create create) {
  int num_failures = 0;
  for (;; ++num_failures) {
    ASSERT_LT(num_failures, 10000);
    seesaw_status status = SEESAW_INTERNAL;
    {
      const FailingAllocations failing(num_failures);
      status = create();
    }
    if (status == SEESAW_OK) break;
    // The scheduler words a lack of memory as one of its own limits.
    EXPECT_TRUE(status == SEESAW_OUT_OF_MEMORY || status == SEESAW_UNSUPPORTED)
        << seesaw_status_name(status) << ": " << seesaw_last_error_message();
    EXPECT_STRNE(seesaw_last_error_message(), "");
  }
  EXPECT_GE(num_failures, 1);
}

TEST(OutOfMemory, BecomesAStatusAtEveryAllocation) {
  seesaw_problem problem;
  ASSERT_EQ(seesaw_problem_init(&problem, sizeof problem), SEESAW_OK);
  problem.batch = 3;
  const std::int32_t kv_lengths[] = {5000, 0, 900};
  const seesaw_lengths lengths = {sizeof lengths, kv_lengths, 3, nullptr, 0};
  seesaw_plan* plan = nullptr;
  expect_out_of_memory_until_it_works(
      [&] { return seesaw_plan_create(&problem, nullptr, &lengths, nullptr, &plan); });
  EXPECT_EQ(seesaw_plan_destroy(plan), SEESAW_OK);

  seesaw_page_allocator* allocator = nullptr;
  expect_out_of_memory_until_it_works(
      [&] { return seesaw_page_allocator_create(10, 4, &allocator); });
  seesaw_sequence sequence = -1;
  expect_out_of_memory_until_it_works([&] { return seesaw_sequence_create(allocator, &sequence); });
  seesaw_page_copy copy;
  expect_out_of_memory_until_it_works(
      [&] { return seesaw_sequence_extend(allocator, sequence, 9, &copy); });
  std::int32_t num_free = 0;
  EXPECT_EQ(seesaw_page_allocator_num_free_pages(allocator, &num_free), SEESAW_OK);
  EXPECT_EQ(num_free, 7);
  EXPECT_EQ(seesaw_page_allocator_destroy(allocator), SEESAW_OK);
}

}  // namespace
}  // namespace seesaw::testing
