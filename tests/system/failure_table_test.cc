// Failures that users of other libraries reported: each has its test, for every kernel that this
// machine runs. NaN stands in every slot, gap and column that must not be read (AttentionCase).
#include <gmock/gmock.h>

#include <limits>
#include <vector>

#include "support/run_case.h"
#include "support/run_size.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class FailureTable : public ::testing::TestWithParam<CpuIsa> {
 protected:
  CpuIsa isa() const { return GetParam(); }

  /// The types that make this kernel be taken; small dimensions unless a test changes them.
  CaseSpec decode_spec(std::vector<std::int32_t> kv_lengths) const {
    CaseSpec spec;
    spec.problem = {.phase = Phase::kDecode,
                    .s_q = 1,
                    .h_q = 8,
                    .h_kv = 1,
                    .d_qk = 48,
                    .d_v = 32,
                    .page_size = 16};
    set_types(spec.problem, type_for(isa()));
    spec.kv_lengths = std::move(kv_lengths);
    return spec;
  }

  CaseSpec prefill_spec(std::vector<std::int32_t> kv_lengths,
                        std::vector<std::int32_t> q_lengths) const {
    CaseSpec spec = decode_spec(std::move(kv_lengths));
    spec.problem.phase = Phase::kPrefill;
    spec.q_lengths = std::move(q_lengths);
    return spec;
  }

  CaseSpec top_k_spec(std::vector<std::int32_t> kv_lengths, std::int64_t top_k) const {
    CaseSpec spec = decode_spec(std::move(kv_lengths));
    spec.problem.sparsity = Sparsity::kTopK;
    spec.problem.top_k = top_k;
    return spec;
  }

  /// Runs with and without the data check: what a request does not use must not offend it either.
  void check(const CaseSpec& spec, const PlanOptions& options = {}, int num_workers = 0) {
    AttentionCase attention_case(spec, rng_);
    for (const DataCheck data_check : {DataCheck::kTrust, DataCheck::kVerify}) {
      RunReport report;
      EXPECT_TRUE(
          run_case(attention_case, executor_,
                   {.isa = isa(), .plan = options, .check = data_check, .num_workers = num_workers},
                   &report));
      EXPECT_EQ(report.plan.cpu_isa, isa());
    }
  }

  Rng& rng() { return rng_; }
  Executor& executor() { return executor_; }

 private:
  Rng rng_ = make_rng();
  Executor executor_ = Executor::cpu(2);
};
INSTANTIATE_TEST_SUITE_P(Isas, FailureTable, ::testing::ValuesIn(supported_isas()), isa_name);

// ---- "s_q = 0, b = 0 or total tokens 0 aborts" ----

TEST_P(FailureTable, NothingToDoIsANoOp) {
  CaseSpec no_tokens = decode_spec({20, 0, 3});
  no_tokens.problem.s_q = 0;
  CaseSpec no_tokens_causal = no_tokens;
  no_tokens_causal.problem.mask = Mask::kCausal;
  CaseSpec no_indices = top_k_spec({20, 5}, 4);
  no_indices.problem.s_q = 0;
  for (const CaseSpec& spec :
       {no_tokens, no_tokens_causal, no_indices, decode_spec({}), top_k_spec({}, 4),
        prefill_spec({}, {}), prefill_spec({20, 0, 3}, {0, 0, 0})}) {
    check(spec);
  }
}

TEST_P(FailureTable, NothingToDoNeedsNoMemory) {
  SmallCall call(decode_spec({}), {}, isa());
  call.decode.workspace = {};
  call.decode.q.data = nullptr;
  call.decode.out.data = nullptr;
  call.decode.lse.data = nullptr;
  call.decode.cache.block_table.data = nullptr;
  call.decode.cache.kv_cache =
      ConstTensorView(nullptr, call.decode.cache.kv_cache.dtype, {0, 16, 1, 48});
  const Status status = call.run(executor(), DataCheck::kVerify);
  EXPECT_TRUE(status.is_ok()) << status.message();
}

// ---- "NaN in slots that no request references leaks into the output" ----

TEST_P(FailureTable, PoisonInUnreferencedSlotsDoesNotLeak) {
  for (const Layout layout : {Layout::kCompact, Layout::kGaps}) {
    for (const std::int64_t page_size : {1, 3, 16, 64, 100}) {
      CaseSpec dense = decode_spec({1, 15, 16, 17, 63, 65, 130});
      CaseSpec chunks = prefill_spec({40, 17, 1, 70}, {7, 17, 1, 0});
      CaseSpec sparse = top_k_spec({100, 3, 64}, 37);
      sparse.has_top_k_lengths = true;
      for (CaseSpec spec : {dense, chunks, sparse}) {
        spec.problem.page_size = page_size;
        spec.layout = layout;
        check(spec);
        if (spec.problem.sparsity == Sparsity::kDense) {
          spec.problem.mask = Mask::kCausal;
          check(spec);
        }
      }
    }
  }
}

// ---- "empty KV, all indices -1" ----

TEST_P(FailureTable, EmptyKvGivesZeroAndPlusInfinity) {
  for (const bool has_sink : {false, true}) {
    CaseSpec all_missing = top_k_spec({20, 40}, 9);
    all_missing.missing_indices = 1;
    CaseSpec nothing_to_choose = top_k_spec({0, 0, 5}, 9);
    for (CaseSpec spec : {decode_spec({0, 0, 0}), decode_spec({0, 33, 0}), all_missing,
                          nothing_to_choose, prefill_spec({0, 21}, {5, 3})}) {
      spec.problem.has_attn_sink = has_sink;
      check(spec);
    }
  }
  // The oracle says so as well, but the contract's values are worth stating in numbers.
  AttentionCase empty(prefill_spec({0}, {3}), rng());
  ASSERT_TRUE(compute_case(empty, executor(), {.isa = isa(), .plan = {}}).is_ok());
  for (const double x : empty.out()) EXPECT_EQ(x, 0.0);
  for (const double x : empty.lse()) EXPECT_EQ(x, kInfinity);
  for (const double x : empty.max_logits()) EXPECT_EQ(x, -kInfinity);
}

TEST_P(FailureTable, CausalRowsThatSeeNoKeyAreEmpty) {
  CaseSpec spec = decode_spec({0, 1, 3, 5, 9});  // fewer keys than the 5 query tokens
  spec.problem.s_q = 5;
  spec.problem.mask = Mask::kCausal;
  check(spec);
  CaseSpec chunks = prefill_spec({2, 30, 0}, {7, 30, 2});
  chunks.problem.mask = Mask::kCausal;
  check(chunks);
}

// ---- "lanes past topk_length are read" ----

TEST_P(FailureTable, ColumnsBeyondTopKLengthsAreNotRead) {
  for (int round = 0; round < 10; ++round) {
    CaseSpec spec = top_k_spec({200, 3, 90, 0}, uniform(rng(), 1, 150));
    spec.problem.s_q = uniform(rng(), 1, 3);
    spec.has_top_k_lengths = true;  // INT_MAX stands beyond them
    check(spec);
  }
}

// ---- "padded requests hang or fault" ----

TEST_P(FailureTable, PaddedRequestsAreNotDereferenced) {
  check(decode_spec({0, 17, 0, 33, 0, 0}));  // their table rows: -1, INT_MAX, INT_MIN
  CaseSpec spec = decode_spec({50, 17, 80, 33});
  SmallCall call(spec, {}, isa());
  ASSERT_TRUE(call.run(executor()).is_ok());
  const std::vector<double> before = call.arrays.out();
  // The same buffers with fewer live requests: what is left keeps its bits, the rest is empty.
  for (std::int64_t i = 0; i < call.arrays.block_table().shape()[1]; ++i) {
    for (const std::int64_t padded : {0, 3}) {
      call.arrays.block_table().write(call.arrays.block_table().offset({padded, i}), -1);
    }
  }
  ASSERT_TRUE(replan(call.plan, std::vector<std::int32_t>{0, 17, 80, 0}).is_ok());
  call.workspace = AlignedBytes(call.plan.workspace_bytes);
  call.decode.workspace = call.workspace.bytes();
  call.arrays.poison_outputs();
  const Status status = call.run(executor(), DataCheck::kVerify);
  ASSERT_TRUE(status.is_ok()) << status.message();
  const std::vector<double> after = call.arrays.out();
  const std::size_t row = before.size() / 4;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const bool is_padded = i / row == 0 || i / row == 3;
    if (is_padded) {
      EXPECT_EQ(after[i], 0.0);
    } else {
      EXPECT_NEAR(after[i], before[i], 0.05);  // other splits may round otherwise
    }
  }
  for (const double lse : {call.arrays.lse().front(), call.arrays.lse().back()}) {
    EXPECT_EQ(lse, kInfinity);
  }
}

// ---- "some split counts give wrong results" ----

TEST_P(FailureTable, EverySplitCountFromOneToTheMaximum) {
  CaseSpec dense = decode_spec({333, 16, 1, 0});
  dense.problem.s_q = 2;
  dense.problem.mask = Mask::kCausal;
  CaseSpec chunks = prefill_spec({333, 70}, {5, 70});
  chunks.problem.mask = Mask::kCausal;
  CaseSpec sparse = top_k_spec({400, 9}, 333);
  sparse.has_top_k_lengths = true;
  for (const CaseSpec& spec : {dense, chunks, sparse}) {
    AttentionCase attention_case(spec, rng());
    std::int32_t most_splits = 0;
    std::int32_t num_splits = 1;
    for (;; ++num_splits) {
      RunReport report;
      PlanOptions options;
      options.num_splits = num_splits;
      ASSERT_TRUE(run_case(attention_case, executor(),
                           {.isa = isa(), .plan = options, .num_workers = 3}, &report))
          << num_splits << " splits";
      std::int32_t actual = 1;
      for (const CombineItem& combine : report.plan.combines) {
        actual = std::max(actual, combine.num_splits);
      }
      if (actual < num_splits) break;  // no tile has more granules than the last count
      most_splits = actual;
    }
    EXPECT_GE(most_splits, 8) << "lengths and granule leave too few splits to test";
  }
}

// ---- "large finite attention sinks give NaN" ----

TEST_P(FailureTable, SinksOfAnySize) {
  for (const bool is_split : {false, true}) {
    PlanOptions options;
    if (is_split) options.num_splits = 3;
    for (CaseSpec spec : {decode_spec({100, 0, 1}), prefill_spec({100, 0, 4}, {3, 1, 4}),
                          top_k_spec({100, 20}, 60)}) {
      spec.problem.has_attn_sink = true;
      spec.attn_sink = {1e38f,
                        -1e38f,
                        kInfinity,
                        -kInfinity,
                        0.0f,
                        std::numeric_limits<float>::lowest(),
                        std::numeric_limits<float>::max(),
                        90.0f};
      check(spec, options);
    }
  }
  AttentionCase extreme(
      [&] {
        CaseSpec spec = decode_spec({100});
        spec.problem.has_attn_sink = true;
        spec.attn_sink = std::vector<float>(8, kInfinity);
        return spec;
      }(),
      rng());
  ASSERT_TRUE(compute_case(extreme, executor(), {.isa = isa(), .plan = {}}).is_ok());
  for (const double x : extreme.out()) EXPECT_EQ(x, 0.0);              // the sink takes everything
  for (const double x : extreme.lse()) EXPECT_TRUE(std::isfinite(x));  // and is not in lse
}

// ---- "top-k that is no multiple of 64 or 128 is refused" ----

TEST_P(FailureTable, AnyTopKFromOneUp) {
  const std::int64_t last = run_size(200, 40);
  for (std::int64_t top_k = 1; top_k <= last; ++top_k) {
    CaseSpec spec = top_k_spec({static_cast<std::int32_t>(uniform(rng(), 0, 250))}, top_k);
    spec.problem.h_q = 4;
    spec.problem.d_qk = 20;
    spec.problem.d_v = 16;
    AttentionCase attention_case(spec, rng());
    ASSERT_TRUE(run_case(attention_case, executor(), {.isa = isa(), .plan = {}}));
  }
}

// ---- "h_q other than 64 and 128 refused" ----

TEST_P(FailureTable, AnyNumberOfHeadsFromOneTo128) {
  const std::int64_t step = run_size(1, 9);
  for (std::int64_t h_q = 1; h_q <= 128; h_q += step) {
    for (CaseSpec spec : {decode_spec({37, 0}), top_k_spec({37}, 11)}) {
      spec.problem.h_q = h_q;
      spec.problem.s_q = uniform(rng(), 1, 2);
      AttentionCase attention_case(spec, rng());
      ASSERT_TRUE(run_case(attention_case, executor(), {.isa = isa(), .plan = {}}));
    }
  }
  for (const std::int64_t h_kv : {1, 2, 3, 6, 48, 96}) {  // and grouped ones
    CaseSpec spec = decode_spec({37, 5});
    spec.problem.h_q = 96;
    spec.problem.h_kv = h_kv;
    check(spec);
  }
}

// ---- "one dominant token: output shrunk by up to 28 %" ----

TEST_P(FailureTable, OneDominantTokenKeepsTheOutputsSize) {
  for (const ScoreShape shape :
       {ScoreShape::kDominantFirst, ScoreShape::kDominantMiddle, ScoreShape::kDominantLast}) {
    for (const double logit : {2.0, 5.0, 8.0, 12.0}) {
      for (const bool is_split : {false, true}) {
        CaseSpec spec = decode_spec({static_cast<std::int32_t>(run_size(1500, 300))});
        spec.shape = shape;
        spec.shift = logit;
        PlanOptions options;
        if (is_split) options.num_splits = 4;
        AttentionCase attention_case(spec, rng());
        RunReport report;
        EXPECT_TRUE(run_case(attention_case, executor(), {.isa = isa(), .plan = options}, &report));
        EXPECT_NEAR(report.out.gain, 1.0, 0.002) << "logit +" << logit;
      }
    }
  }
}

// ---- Shapes of the contract ----

TEST_P(FailureTable, TheDimensionsOfDeepSeek) {
  CaseSpec decode = decode_spec({500, 64, 129});
  decode.problem.h_q = 128;
  CaseSpec chunk = prefill_spec({200, 70}, {16, 5});
  chunk.problem.h_q = 16;
  chunk.problem.mask = Mask::kCausal;
  CaseSpec sparse = top_k_spec({600}, 300);
  sparse.problem.h_q = 64;
  for (CaseSpec spec : {decode, chunk, sparse}) {
    spec.problem.d_qk = 576;
    spec.problem.d_v = 512;
    spec.problem.page_size = 64;
    if (kIsSanitized) spec.problem.h_q = 8;
    check(spec);
  }
}

TEST_P(FailureTable, ScaleZeroNegativeAndLarge) {
  for (const float scale : {0.0f, -0.2f, 1.0f, 3.0f}) {
    CaseSpec spec = decode_spec({100, 1});
    spec.problem.softmax_scale = scale;
    check(spec);
    spec.shape = ScoreShape::kRising;
    spec.shift = 40;
    if (scale != 0) check(spec);
  }
}

TEST_P(FailureTable, RandomShapesAndTypes) {
  constexpr DType kTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  const std::int64_t num_rounds = run_size(60, 10);
  for (std::int64_t round = 0; round < num_rounds; ++round) {
    const std::int64_t h_kv = uniform(rng(), 1, 3);
    CaseSpec spec = decode_spec({});
    for (std::int64_t i = uniform(rng(), 1, 4); i > 0; --i) {
      spec.kv_lengths.push_back(static_cast<std::int32_t>(uniform(rng(), 0, 150)));
      spec.q_lengths.push_back(static_cast<std::int32_t>(uniform(rng(), 0, 6)));
    }
    spec.problem.h_kv = h_kv;
    spec.problem.h_q = h_kv * uniform(rng(), 1, 20);
    spec.problem.d_qk = uniform(rng(), 1, 130);
    spec.problem.d_v = uniform(rng(), 1, spec.problem.d_qk);
    spec.problem.page_size = uniform(rng(), 1, 70);
    if (isa() != CpuIsa::kAvx512Bf16) {
      spec.problem.q_dtype = kTypes[uniform(rng(), 0, 2)];
      spec.problem.kv_format = *plain_format(kTypes[uniform(rng(), 0, 2)]);
      const bool is_bf16 =
          spec.problem.q_dtype == DType::kBFloat16 && spec.problem.kv_format == KvFormat::kBFloat16;
      if (is_bf16) spec.problem.kv_format = KvFormat::kFloat16;  // isa() stays the best there is
    }
    spec.problem.out_dtype = kTypes[uniform(rng(), 0, 2)];
    spec.problem.has_attn_sink = uniform(rng(), 0, 1) == 1;
    spec.layout = uniform(rng(), 0, 1) == 1 ? Layout::kGaps : Layout::kCompact;
    if (uniform(rng(), 0, 2) == 0) {
      spec.problem.sparsity = Sparsity::kTopK;
      spec.problem.top_k = uniform(rng(), 1, 90);
      spec.has_top_k_lengths = uniform(rng(), 0, 1) == 1;
    } else if (uniform(rng(), 0, 1) == 1) {
      spec.problem.mask = Mask::kCausal;
    }
    if (uniform(rng(), 0, 1) == 1) {
      spec.problem.phase = Phase::kPrefill;
    } else {
      spec.q_lengths.clear();
      spec.problem.s_q = uniform(rng(), 1, 4);
    }
    const ScheduleMode modes[] = {ScheduleMode::kThroughput, ScheduleMode::kLatency,
                                  ScheduleMode::kBatchInvariant};
    PlanOptions options;
    options.mode = modes[uniform(rng(), 0, 2)];
    check(spec, options, static_cast<int>(uniform(rng(), 1, 5)));
  }
}

}  // namespace
}  // namespace seesaw::testing
