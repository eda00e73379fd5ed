// Equal bits: run after run, and (batch-invariant mode) whatever shares the batch.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/run_case.h"
#include "support/run_size.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

struct Outputs {
  std::vector<double> out, lse;
  bool operator==(const Outputs&) const = default;
};

Outputs outputs_of(const AttentionCase& arrays) { return {arrays.out(), arrays.lse()}; }

CaseSpec spec_for(CpuIsa isa, std::vector<std::int32_t> kv_lengths) {
  CaseSpec spec;
  spec.problem = {.phase = Phase::kDecode,
                  .s_q = 2,
                  .h_q = 16,
                  .h_kv = 1,
                  .d_qk = 72,
                  .d_v = 64,
                  .page_size = 16,
                  .mask = Mask::kCausal};
  set_types(spec.problem, type_for(isa));
  spec.kv_lengths = std::move(kv_lengths);
  return spec;
}

class Determinism : public ::testing::TestWithParam<CpuIsa> {};
INSTANTIATE_TEST_SUITE_P(Isas, Determinism, ::testing::ValuesIn(supported_isas()), isa_name);

TEST_P(Determinism, AHundredRunsAreBitEqual) {
  Executor executor = Executor::cpu(2);
  CaseSpec dense = spec_for(GetParam(), {700, 3, 0, 250});
  CaseSpec sparse = spec_for(GetParam(), {700, 90});
  sparse.problem.mask = Mask::kNone;
  sparse.problem.sparsity = Sparsity::kTopK;
  sparse.problem.top_k = 500;
  for (const CaseSpec& spec : {dense, sparse}) {
    PlanOptions options;
    options.num_splits = 4;
    SmallCall call(spec, options, GetParam());
    EXPECT_FALSE(call.plan.combines.empty()) << "a plan without a merge has no race to show";
    ASSERT_TRUE(call.run(executor).is_ok());
    const Outputs first = outputs_of(call.arrays);
    for (int run = 1; run < 100; ++run) {
      call.arrays.poison_outputs();
      std::fill(call.workspace.bytes().begin(), call.workspace.bytes().end(),
                static_cast<std::byte>(run));
      ASSERT_TRUE(call.run(executor).is_ok());
      ASSERT_EQ(outputs_of(call.arrays), first) << "run " << run;
    }
  }
}

TEST_P(Determinism, ThreadsDoNotChangeBits) {
  Outputs first;
  SmallCall call(spec_for(GetParam(), {700, 3, 0, 250}), {.mode = ScheduleMode::kLatency},
                 GetParam(), 5);
  for (const int num_threads : {1, 2, 3, 8}) {
    Executor executor = Executor::cpu(num_threads);
    call.arrays.poison_outputs();
    ASSERT_TRUE(call.run(executor).is_ok());
    if (num_threads == 1) first = outputs_of(call.arrays);
    EXPECT_EQ(outputs_of(call.arrays), first) << num_threads << " threads";
  }
}

// ---- Batch-invariant mode ----

/// Runs requests of a call again as other batches, over the same cache.
class Batches {
 public:
  explicit Batches(SmallCall& call) : call_(call) {}

  /// Requests `order`, as often and in the order that they are named.
  Outputs run(const std::vector<std::int64_t>& order, Executor& executor, int num_workers) {
    const AttentionProblem& original = call_.plan.problem;
    AttentionProblem problem = original;
    problem.batch = static_cast<std::int64_t>(order.size());
    std::vector<std::int32_t> lengths;
    StridedArray q(problem.q_dtype, {problem.batch, problem.s_q, problem.h_q, problem.d_qk});
    const std::int64_t max_pages = call_.decode.cache.block_table.dim(1);
    StridedArray table(DType::kInt32, {problem.batch, max_pages});
    for (std::int64_t i = 0; i < problem.batch; ++i) {
      const std::int64_t from = order[static_cast<std::size_t>(i)];
      lengths.push_back(call_.arrays.spec().kv_lengths[static_cast<std::size_t>(from)]);
      const std::int64_t row = problem.s_q * problem.h_q * problem.d_qk;
      for (std::int64_t e = 0; e < row; ++e) {
        q.write(i * row + e, call_.arrays.q().read(from * row + e));
      }
      for (std::int64_t e = 0; e < max_pages; ++e) {
        table.write(i * max_pages + e, call_.arrays.block_table().read(from * max_pages + e));
      }
    }
    StridedArray out(problem.out_dtype, {problem.batch, problem.s_q, problem.h_q, problem.d_v});
    StridedArray lse(DType::kFloat32, {problem.batch, problem.h_q, problem.s_q});
    DeviceSpec device = call_.plan.device;
    device.num_workers = num_workers;
    const WorkPlan work =
        plan(problem, device, lengths, {}, {.mode = ScheduleMode::kBatchInvariant}).value();
    const AlignedBytes workspace(work.workspace_bytes);
    DecodeArgs args = call_.decode;
    args.q = q.view();
    args.cache.block_table = table.view();
    args.out = out.view();
    args.lse = lse.view();
    args.workspace = workspace.bytes();
    throw_if_error(decode(work, args, executor, DataCheck::kVerify));
    return {out.values(), lse.values()};
  }

  /// The part of a batch's outputs that belongs to its request number `place`.
  Outputs part(const Outputs& all, std::size_t place, std::size_t batch) const {
    const auto slice = [&](const std::vector<double>& values) {
      const auto size = static_cast<std::ptrdiff_t>(values.size() / batch);
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(place) * size;
      return std::vector<double>(first, first + size);
    };
    return {slice(all.out), slice(all.lse)};
  }

 private:
  SmallCall& call_;
};

TEST_P(Determinism, BatchInvariantRequestsKeepTheirBitsInAnyCompanyAndPlace) {
  Executor executor = Executor::cpu(2);
  SmallCall call(spec_for(GetParam(), {1500, 33, 0, 700, 1, 64, 256}),
                 {.mode = ScheduleMode::kBatchInvariant}, GetParam());
  EXPECT_FALSE(call.plan.combines.empty()) << "long requests are split in this mode too";
  Batches batches(call);
  std::vector<Outputs> alone;
  const std::int64_t num_requests = call.plan.problem.batch;
  for (std::int64_t i = 0; i < num_requests; ++i) alone.push_back(batches.run({i}, executor, 1));
  const std::int64_t num_rounds = run_size(12, 4);
  for (std::int64_t round = 0; round < num_rounds; ++round) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(uniform(call.rng, 1, 12)));
    for (auto& request_idx : order) request_idx = uniform(call.rng, 0, num_requests - 1);
    const int num_workers = static_cast<int>(uniform(call.rng, 1, 9));
    const Outputs all = batches.run(order, executor, num_workers);
    for (std::size_t place = 0; place < order.size(); ++place) {
      ASSERT_EQ(batches.part(all, place, order.size()),
                alone[static_cast<std::size_t>(order[place])])
          << "request " << order[place] << " at place " << place << " of " << order.size();
    }
  }
}

}  // namespace
}  // namespace seesaw::testing
