// The bounds against arithmetic rounded operation by operation: no error may pass its bound, no
// bound may stand far above the errors of ordinary inputs, and faults must show.
#include "algorithm/error_bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "emulated_kernel.h"
#include "support/compare.h"
#include "support/run_case.h"
#include "support/run_size.h"

namespace seesaw::testing {
namespace {

using algorithm::ErrorModel;

/// An emulated kernel against the oracle; `passes` is what a test of that kernel would say.
struct Trial {
  bool passes = true;
  Agreement out;
  Agreement lse;
  Agreement max_logits;
  std::string message;
};

Trial run_trial(AttentionCase& attention_case, const Emulation& emulation, ErrorModel model,
                Rng& rng) {
  const auto& reference = attention_case.reference();
  const auto bounds =
      algorithm::error_bounds(reference, attention_case.problem(), emulation.arithmetic, model);
  const EmulatedOutputs actual = emulate_kernel(attention_case, emulation, rng);
  Trial trial;
  const auto note = [&](const ::testing::AssertionResult& result) {
    trial.passes = trial.passes && result;
    if (!result) trial.message += std::string(result.message()) + "\n";
  };
  const std::int64_t rows = reference.num_rows;
  note(compare("out", actual.out, reference.out, bounds.out, {rows, reference.d_v}, &trial.out));
  note(compare("lse", actual.lse, reference.lse, bounds.lse, {rows}, &trial.lse));
  if (emulation.arithmetic.max_lag > 0) {  // m is no maximum then
    if (!trial.passes) trial.message += to_string(attention_case.spec());
    return trial;
  }
  note(compare("max_logits", actual.max_logits, reference.max_logits, bounds.max_logits, {rows},
               &trial.max_logits));
  if (!trial.passes) trial.message += to_string(attention_case.spec());
  return trial;
}

CaseSpec make_spec(DType dtype, std::vector<std::int32_t> kv_lengths) {
  CaseSpec spec;
  spec.problem.h_q = 4;
  spec.problem.page_size = 16;
  spec.problem.q_dtype = dtype;
  spec.problem.kv_format = *plain_format(dtype);
  spec.problem.out_dtype = DType::kFloat32;
  spec.kv_lengths = std::move(kv_lengths);
  return spec;
}

/// The arithmetic that a kernel of this input type may have.
Emulation make_emulation(DType dtype) {
  if (dtype == DType::kBFloat16)
    return {.arithmetic = algorithm::kBFloat16DotArithmetic, .order = DotOrder::kPairs};
  return {.arithmetic = algorithm::kFloat32Arithmetic};
}

TEST(ErrorBounds, UnitRoundoffIsTheLargestRelativeErrorOfRounding) {
  double bfloat16 = 0;
  double float16 = 0;
  for (int i = 0; i < 1 << 16; ++i) {
    const float x = 1.0f + static_cast<float>(i) * 0x1p-16f;
    bfloat16 = std::max(bfloat16, std::abs(double{float(BFloat16(x))} - x) / x);
    float16 = std::max(float16, std::abs(double{float(Float16(x))} - x) / x);
  }
  EXPECT_LE(bfloat16, algorithm::unit_roundoff(DType::kBFloat16));
  EXPECT_GE(bfloat16, 0.99 * algorithm::unit_roundoff(DType::kBFloat16));
  EXPECT_LE(float16, algorithm::unit_roundoff(DType::kFloat16));
  EXPECT_GE(float16, 0.99 * algorithm::unit_roundoff(DType::kFloat16));
  EXPECT_EQ(algorithm::unit_roundoff(DType::kFloat32), 0x1p-24);
}

class ErrorBoundsHold : public ::testing::TestWithParam<std::tuple<DType, ScoreShape>> {};

TEST_P(ErrorBoundsHold, ForEveryOrderSplitAndOutputType) {
  const auto [dtype, shape] = GetParam();
  Rng rng = make_rng();
  for (DotOrder order : {DotOrder::kSequential, DotOrder::kLanes, DotOrder::kPairs}) {
    if (order == DotOrder::kPairs && dtype != DType::kBFloat16) continue;
    for (std::int64_t num_splits : {1, 3}) {
      const auto length = static_cast<std::int32_t>(uniform(rng, 1, run_size(600, 120)));
      CaseSpec spec = make_spec(dtype, {1, 0, length});
      spec.problem.s_q = 2;
      spec.problem.mask = Mask::kCausal;
      spec.problem.has_attn_sink = true;
      spec.problem.out_dtype = std::vector{DType::kFloat32, DType::kBFloat16, DType::kFloat16}.at(
          static_cast<std::size_t>(uniform(rng, 0, 2)));
      spec.shape = shape;
      spec.stddev = std::vector{0.3, 1.0, 6.0}.at(static_cast<std::size_t>(uniform(rng, 0, 2)));
      spec.shift =
          static_cast<double>(uniform(rng, 2, 12)) * (shape == ScoreShape::kOffset ? -10.0 : 1.0);
      AttentionCase attention_case(spec, rng);
      Emulation emulation = make_emulation(dtype);
      emulation.order = order;
      emulation.arithmetic.num_splits = num_splits;
      emulation.arithmetic.keys_per_block = uniform(rng, 1, 100);
      for (ErrorModel model : {ErrorModel::kWorstCase, error_model_of(spec)}) {
        const Trial trial = run_trial(attention_case, emulation, model, rng);
        EXPECT_TRUE(trial.passes) << trial.message;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, ErrorBoundsHold,
    ::testing::Combine(::testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16),
                       ::testing::Values(ScoreShape::kNormal, ScoreShape::kDominantFirst,
                                         ScoreShape::kDominantMiddle, ScoreShape::kDominantLast,
                                         ScoreShape::kRising, ScoreShape::kOffset,
                                         ScoreShape::kEqualKeys, ScoreShape::kEqualValues)));

/// A kernel on tensor cores: Hopper's tuned one (l of unrounded weights, m that lags) or one in the
/// manner of sm_80.
Emulation make_tensor_emulation(DType dtype, int sm_arch) {
  Emulation emulation{.arithmetic = algorithm::tensor_core_arithmetic(dtype, sm_arch),
                      .order = DotOrder::kSteps};
  emulation.arithmetic.sums_rounded_weights = sm_arch < 90;
  emulation.arithmetic.max_lag = sm_arch < 90 ? 0 : 8;
  return emulation;
}

class TensorCoreBoundsHold : public ::testing::TestWithParam<std::tuple<DType, int, ScoreShape>> {};

TEST_P(TensorCoreBoundsHold, ForSplitsAndOutputTypes) {
  const auto [dtype, sm_arch, shape] = GetParam();
  Rng rng = make_rng();
  for (std::int64_t num_splits : {1, 3}) {
    CaseSpec spec =
        make_spec(dtype, {1, 0, static_cast<std::int32_t>(uniform(rng, 1, run_size(400, 120)))});
    spec.problem.h_q = 2;
    spec.problem.s_q = 2;
    spec.problem.mask = Mask::kCausal;
    spec.problem.has_attn_sink = true;
    spec.problem.out_dtype = uniform(rng, 0, 1) == 0 ? DType::kFloat32 : dtype;
    spec.shape = shape;
    spec.stddev = std::vector{0.3, 1.0, 6.0}.at(static_cast<std::size_t>(uniform(rng, 0, 2)));
    spec.shift =
        static_cast<double>(uniform(rng, 2, 12)) * (shape == ScoreShape::kOffset ? -10.0 : 1.0);
    AttentionCase attention_case(spec, rng);
    Emulation emulation = make_tensor_emulation(dtype, sm_arch);
    emulation.arithmetic.num_splits = num_splits;
    emulation.arithmetic.keys_per_block = uniform(rng, 1, 100);
    for (ErrorModel model : {ErrorModel::kWorstCase, error_model_of(spec)}) {
      const Trial trial = run_trial(attention_case, emulation, model, rng);
      EXPECT_TRUE(trial.passes) << trial.message;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, TensorCoreBoundsHold,
    ::testing::Combine(::testing::Values(DType::kBFloat16, DType::kFloat16),
                       ::testing::Values(80, 90),
                       ::testing::Values(ScoreShape::kNormal, ScoreShape::kDominantFirst,
                                         ScoreShape::kDominantLast, ScoreShape::kRising,
                                         ScoreShape::kOffset, ScoreShape::kEqualKeys,
                                         ScoreShape::kEqualValues)));

TEST(ErrorBounds, OfATensorCoresSumAreAttainedByAFactorOfThree) {
  // A large first product, then products just below a multiple of what alignment keeps: every one
  // of them loses almost all that it may.
  Rng rng = make_rng();
  CaseSpec spec = make_spec(DType::kFloat16, {1});
  spec.problem.h_q = 1;
  spec.problem.softmax_scale = 1.0f;
  AttentionCase attention_case(spec, rng);
  const auto page = static_cast<std::int64_t>(attention_case.block_table().read(0));
  StridedArray& cache = attention_case.kv_cache();
  for (std::int64_t i = 0; i < spec.problem.d_qk; ++i) {
    attention_case.q().write(i, i == 0 ? 1.0 : 0x1p-13);
    cache.write(cache.offset({page, 0, 0, i}), i == 0 ? 1.0 : 0.999 * 0x1p-12);
  }
  Emulation emulation = make_tensor_emulation(DType::kFloat16, 90);
  emulation.arithmetic.max_lag = 0;
  const Trial trial = run_trial(attention_case, emulation, ErrorModel::kWorstCase, rng);
  EXPECT_TRUE(trial.passes) << trial.message;
  EXPECT_GT(trial.max_logits.max_bound_share, 0.33);
  Emulation rounds_less = emulation;  // the bound of float32 roundings would be too small
  rounds_less.arithmetic.step_error = 0x1p-24;
  EXPECT_FALSE(run_trial(attention_case, rounds_less, ErrorModel::kWorstCase, rng).passes);
}

TEST(ErrorBounds, OfTensorCoresAreNotFarAboveTheErrorsOfOrdinaryInputs) {
  Rng rng = make_rng();
  for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (int sm_arch : {80, 90}) {
      for (std::int64_t length : {std::int64_t{20}, run_size(1000, 200)}) {
        CaseSpec spec = make_spec(dtype, {static_cast<std::int32_t>(length)});
        spec.problem.h_q = 8;
        AttentionCase attention_case(spec, rng);
        const Trial trial = run_trial(attention_case, make_tensor_emulation(dtype, sm_arch),
                                      ErrorModel::kProbabilistic, rng);
        EXPECT_TRUE(trial.passes) << trial.message;
        EXPECT_GT(trial.out.max_bound_share, 0.05) << length;
        EXPECT_GT(trial.lse.max_bound_share, 0.002) << length;
      }
    }
  }
}

TEST(ErrorBounds, HoldWhereScoresHardlyDiffer) {
  // All weights round to 1 in bfloat16: their errors are alike, as the worst case allows.
  Rng rng = make_rng();
  for (double stddev : {1e-5, 1e-3, 0.05}) {
    CaseSpec spec = make_spec(DType::kBFloat16, {300});
    spec.stddev = stddev;
    AttentionCase attention_case(spec, rng);
    ASSERT_EQ(error_model_of(spec), ErrorModel::kWorstCase);
    const Trial trial =
        run_trial(attention_case, make_emulation(DType::kBFloat16), ErrorModel::kWorstCase, rng);
    EXPECT_TRUE(trial.passes) << trial.message;
  }
}

TEST(ErrorBounds, HoldForHugeSinksAndOffsets) {
  Rng rng = make_rng();
  for (DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (double shift : {-3000.0, 0.0, 3000.0}) {
      CaseSpec spec = make_spec(dtype, {200, 0});
      spec.problem.has_attn_sink = true;
      spec.shape = ScoreShape::kOffset;
      spec.shift = shift;
      const auto near = static_cast<float>(shift + 5);
      for (const auto& sinks : {std::vector<float>{1e38f, -1e38f, INFINITY, -INFINITY},
                                std::vector<float>{near, near + 20, near - 20, near + 90}}) {
        spec.attn_sink = sinks;
        AttentionCase attention_case(spec, rng);
        const auto bounds =
            algorithm::error_bounds(attention_case.reference(), attention_case.problem(),
                                    algorithm::kFloat32Arithmetic, ErrorModel::kProbabilistic);
        for (double bound : bounds.out) ASSERT_TRUE(bound >= 0 && bound < 10) << bound;
        const Trial trial =
            run_trial(attention_case, make_emulation(dtype), error_model_of(spec), rng);
        EXPECT_TRUE(trial.passes) << trial.message;
      }
    }
  }
}

TEST(ErrorBounds, AreNotFarAboveTheErrorsOfOrdinaryInputs) {
  // Of bfloat16 kernels even the worst case, up to 1,000 keys; of float32 ones the probabilistic
  // model, because the roundings of 576 terms or of more keys cancel and a worst case cannot know.
  Rng rng = make_rng();
  for (std::int32_t length : {20, 200, 1000, 6000}) {
    if (length > run_size(6000, 200)) break;
    CaseSpec spec = make_spec(DType::kBFloat16, {length});
    spec.problem.h_q = length > 1000 ? 8 : 32;
    const Emulation narrow_kernel = make_emulation(DType::kBFloat16);
    AttentionCase narrow(spec, rng);
    Trial trial = run_trial(narrow, narrow_kernel, ErrorModel::kProbabilistic, rng);
    EXPECT_GT(trial.out.max_bound_share, 0.05) << length;
    if (length <= 1000) {
      trial = run_trial(narrow, narrow_kernel, ErrorModel::kWorstCase, rng);
      EXPECT_GT(trial.out.max_bound_share, 0.01) << length;
      EXPECT_GT(trial.lse.max_bound_share, 0.01) << length;
    }

    spec.problem.q_dtype = DType::kFloat32;
    spec.problem.kv_format = KvFormat::kFloat32;
    AttentionCase wide(spec, rng);
    trial = run_trial(wide, make_emulation(DType::kFloat32), ErrorModel::kProbabilistic, rng);
    EXPECT_GT(trial.out.max_bound_share, 0.01) << length;
    EXPECT_GT(trial.lse.max_bound_share, 0.005) << length;
    EXPECT_GT(trial.max_logits.max_bound_share, 0.005) << length;
  }
}

TEST(ErrorBounds, TheWorstCaseOfADotProductIsAttained) {
  // 1 + 575 terms of almost half a unit in the last place: each addition rounds to 1 again.
  Rng rng = make_rng();
  CaseSpec spec = make_spec(DType::kFloat32, {1});
  spec.problem.h_q = 1;
  spec.problem.softmax_scale = 1.0f;
  AttentionCase attention_case(spec, rng);
  const StridedArray& table = attention_case.block_table();
  StridedArray& cache = attention_case.kv_cache();
  const auto page = static_cast<std::int64_t>(table.read(0));
  for (std::int64_t i = 0; i < spec.problem.d_qk; ++i) {
    attention_case.q().write(i, 1.0);
    cache.write(cache.offset({page, 0, 0, i}), i == 0 ? 1.0 : 0.99 * 0x1p-24);
  }
  const Trial trial =
      run_trial(attention_case, make_emulation(DType::kFloat32), ErrorModel::kWorstCase, rng);
  EXPECT_TRUE(trial.passes) << trial.message;
  EXPECT_GT(trial.max_logits.max_bound_share, 0.95);
  EXPECT_FALSE(
      run_trial(attention_case, make_emulation(DType::kFloat32), ErrorModel::kProbabilistic, rng)
          .passes);  // roundings that conspire are outside of the model
}

class FaultsAreCaught : public ::testing::TestWithParam<std::tuple<DType, Fault>> {};

TEST_P(FaultsAreCaught, OnOrdinaryInputs) {
  const auto [dtype, fault] = GetParam();
  Rng rng = make_rng();
  CaseSpec spec = make_spec(dtype, {64});
  spec.stddev = 0.5;
  if (fault == Fault::kUnscaledSum) spec.shape = ScoreShape::kRising;  // the maximum must move
  // The error of a sum of unrounded weights is Sum p_j rho_j v_j against Sum p_j rho_j (v_j - o):
  // the two differ most where all values agree.
  if (fault == Fault::kUnroundedSum) spec.shape = ScoreShape::kEqualValues;
  AttentionCase attention_case(spec, rng);
  Emulation emulation = make_emulation(dtype);
  emulation.arithmetic.num_splits = 2;
  emulation.arithmetic.keys_per_block = 16;
  ASSERT_TRUE(run_trial(attention_case, emulation, error_model_of(spec), rng).passes);
  emulation.fault = fault;
  EXPECT_FALSE(run_trial(attention_case, emulation, error_model_of(spec), rng).passes);
}

INSTANTIATE_TEST_SUITE_P(
    Types, FaultsAreCaught,
    ::testing::Combine(::testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16),
                       ::testing::Values(Fault::kDroppedKey, Fault::kRepeatedKey,
                                         Fault::kScaledByOnePercent, Fault::kUnscaledSum,
                                         Fault::kLostMerge, Fault::kShiftedValue)));
INSTANTIATE_TEST_SUITE_P(BFloat16Only, FaultsAreCaught,
                         ::testing::Values(std::tuple(DType::kBFloat16, Fault::kUnroundedSum)));

class TensorCoreFaultsAreCaught : public ::testing::TestWithParam<std::tuple<DType, int, Fault>> {};

TEST_P(TensorCoreFaultsAreCaught, OnOrdinaryInputs) {
  const auto [dtype, sm_arch, fault] = GetParam();
  Rng rng = make_rng();
  CaseSpec spec = make_spec(dtype, {64});
  spec.stddev = 0.5;
  if (fault == Fault::kUnscaledSum) {  // the maximum must move, by more than it may lag
    spec.shape = ScoreShape::kRising;
    spec.shift = 40;
  }
  if (fault == Fault::kUnroundedSum) spec.shape = ScoreShape::kEqualValues;
  AttentionCase attention_case(spec, rng);
  Emulation emulation = make_tensor_emulation(dtype, sm_arch);
  emulation.arithmetic.num_splits = 2;
  emulation.arithmetic.keys_per_block = 16;
  ASSERT_TRUE(run_trial(attention_case, emulation, error_model_of(spec), rng).passes);
  emulation.fault = fault;
  EXPECT_FALSE(run_trial(attention_case, emulation, error_model_of(spec), rng).passes);
}

INSTANTIATE_TEST_SUITE_P(
    Types, TensorCoreFaultsAreCaught,
    ::testing::Combine(::testing::Values(DType::kBFloat16, DType::kFloat16),
                       ::testing::Values(80, 90),
                       ::testing::Values(Fault::kDroppedKey, Fault::kRepeatedKey,
                                         Fault::kScaledByOnePercent, Fault::kUnscaledSum,
                                         Fault::kLostMerge, Fault::kShiftedValue)));
INSTANTIATE_TEST_SUITE_P(RoundedSums, TensorCoreFaultsAreCaught,
                         ::testing::Combine(::testing::Values(DType::kBFloat16),
                                            ::testing::Values(80),
                                            ::testing::Values(Fault::kUnroundedSum)));

TEST(ErrorBounds, RoundedWeightsAreCaughtInAFloat32Kernel) {
  Rng rng = make_rng();
  AttentionCase attention_case(make_spec(DType::kFloat32, {500}), rng);
  const auto& reference = attention_case.reference();
  const auto bounds =
      algorithm::error_bounds(reference, attention_case.problem(), algorithm::kFloat32Arithmetic,
                              ErrorModel::kProbabilistic);
  Emulation emulation = make_emulation(DType::kFloat32);
  emulation.arithmetic.weight_roundoff = 0x1p-8;  // what it does, not what it is bound to
  const EmulatedOutputs actual = emulate_kernel(attention_case, emulation, rng);
  EXPECT_FALSE(compare("out", actual.out, reference.out, bounds.out, {4, 512}));
}

}  // namespace
}  // namespace seesaw::testing
