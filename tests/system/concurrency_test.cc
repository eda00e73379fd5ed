// Calls side by side: executors of their own, one executor shared, one plan shared.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/run_case.h"
#include "support/run_size.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

CaseSpec split_decode() {
  CaseSpec spec = small_decode();
  spec.kv_lengths = {300, 0, 17, 90};
  spec.problem.has_attn_sink = true;
  return spec;
}

CaseSpec split_prefill() {
  CaseSpec spec = split_decode();
  spec.problem.phase = Phase::kPrefill;
  spec.problem.mask = Mask::kCausal;
  spec.q_lengths = {4, 1, 17, 0};
  return spec;
}

const std::int64_t kNumRuns = run_size(200, 40);

/// Runs the call again and again; false if a result differs from the first.
bool repeats(SmallCall& call, Executor& executor) {
  if (!call.run(executor).is_ok()) return false;
  const std::vector<double> first = call.arrays.out();
  for (std::int64_t i = 0; i < kNumRuns; ++i) {
    call.arrays.poison_outputs();
    if (!call.run(executor).is_ok() || call.arrays.out() != first) return false;
  }
  return true;
}

/// Each spec in a thread of its own, all at a time; `executor_of` gives each its executor.
template <typename ExecutorOf>
void expect_all_repeat(const std::vector<CaseSpec>& specs, ExecutorOf executor_of) {
  std::vector<std::unique_ptr<SmallCall>> calls;
  for (const CaseSpec& spec : specs) {
    calls.push_back(std::make_unique<SmallCall>(spec, PlanOptions{.mode = ScheduleMode::kLatency},
                                                supported_isas().back(), 3));
  }
  std::atomic<int> num_good{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    threads.emplace_back([&, i] { num_good += repeats(*calls[i], executor_of(i)) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_good, static_cast<int>(specs.size()));
}

TEST(Concurrency, TwoThreadsWithTheirOwnExecutors) {
  Executor executors[] = {Executor::cpu(2), Executor::cpu(2)};
  expect_all_repeat({split_decode(), split_prefill()},
                    [&](std::size_t i) -> Executor& { return executors[i]; });
}

TEST(Concurrency, OneExecutorSharedByThreads) {
  Executor executor = Executor::cpu(2);
  expect_all_repeat({split_decode(), split_prefill(), split_decode()},
                    [&](std::size_t) -> Executor& { return executor; });
}

TEST(Concurrency, OnePlanSharedByThreads) {
  SmallCall call(split_decode(), {.mode = ScheduleMode::kLatency}, supported_isas().back(), 3);
  Executor reference_executor = Executor::cpu(1);
  ASSERT_TRUE(call.run(reference_executor).is_ok());
  const std::vector<double> expected = call.arrays.out();
  std::atomic<int> num_good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      Executor executor = Executor::cpu(2);
      const AttentionProblem& problem = call.plan.problem;
      StridedArray out(problem.out_dtype, {problem.batch, problem.s_q, problem.h_q, problem.d_v});
      const AlignedBytes workspace(call.plan.workspace_bytes);  // a call's own, like its outputs
      DecodeArgs args = call.decode;
      args.out = out.view();
      args.lse = {};
      args.workspace = workspace.bytes();
      bool is_good = true;
      for (std::int64_t run = 0; run < kNumRuns; ++run) {
        out.poison();
        is_good = is_good && decode(call.plan, args, executor).is_ok() && out.values() == expected;
      }
      num_good += is_good ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_good, 3);
}

TEST(Concurrency, PlansAreMadeSideBySide) {
  std::atomic<int> num_good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      AttentionProblem problem;
      problem.batch = 3;
      const std::vector<std::int32_t> lengths = {100, 2000, 0};
      const auto device = probe_cpu();
      if (!device) return;
      auto work = plan(problem, device.value(), lengths);
      bool is_good = work.is_ok();
      for (std::int64_t run = 0; run < kNumRuns && is_good; ++run) {
        is_good = replan(work.value(), lengths).is_ok();
      }
      num_good += is_good ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_good, 3);
}

}  // namespace
}  // namespace seesaw::testing
