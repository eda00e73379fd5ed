// The oracle against values worked out by hand, and against itself where two calls must agree.
#include "algorithm/reference_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/attention_case.h"

namespace seesaw::testing {
namespace {

using algorithm::ReferenceInputs;
using algorithm::ReferenceOutputs;

AttentionProblem small_problem() {
  AttentionProblem problem;
  problem.h_q = 6;
  problem.h_kv = 2;
  problem.d_qk = 12;
  problem.d_v = 8;
  problem.page_size = 4;
  problem.q_dtype = DType::kFloat32;
  problem.kv_format = KvFormat::kFloat32;
  return problem;
}

/// Rows [first, first + count) of [num_rows, width].
std::vector<double> rows_of(const std::vector<double>& all, std::int64_t first, std::int64_t count,
                            std::int64_t width) {
  return {all.begin() + first * width, all.begin() + (first + count) * width};
}

void expect_finite(const std::vector<double>& values) {
  for (double x : values) ASSERT_TRUE(std::isfinite(x));
}

TEST(ReferenceAttention, TwoKeysByHand) {
  // Scores 0 and ln 3, so weights 1/4 and 3/4; V is the first dimension.
  std::vector<float> q{0.0f, 2.0f};
  std::vector<float> cache{8.0f, 0.0f, 4.0f, static_cast<float>(std::log(3.0) / 2)};
  std::vector<std::int32_t> table{0};
  const std::int32_t kv_length = 2;
  ReferenceInputs in;
  in.problem.batch = in.problem.h_q = in.problem.d_v = 1;
  in.problem.d_qk = in.problem.page_size = 2;
  in.problem.softmax_scale = 1.0f;
  in.kv_lengths = {&kv_length, 1};
  in.q = ConstTensorView(q.data(), DType::kFloat32, {1, 1, 1, 2});
  in.kv_cache = ConstTensorView(cache.data(), DType::kFloat32, {1, 2, 1, 2});
  in.block_table = ConstTensorView(table.data(), DType::kInt32, {1, 1});
  const ReferenceOutputs result = algorithm::reference_attention(in);
  ASSERT_EQ(result.num_rows, 1);
  EXPECT_NEAR(result.out[0], 0.25 * 8 + 0.75 * 4, 1e-6);
  EXPECT_NEAR(result.lse[0], std::log(4.0), 1e-6);
  EXPECT_NEAR(result.max_logits[0], std::log(3.0), 1e-6);
  EXPECT_EQ(result.rows[0].num_keys, 2);
  EXPECT_NEAR(result.rows[0].max_abs_product_sum, std::log(3.0), 1e-6);
  EXPECT_NEAR(result.rows[0].logit_range, std::log(3.0), 1e-6);
  EXPECT_NEAR(result.rows[0].weight_norm, std::sqrt(1.0 + 9.0) / 4, 1e-6);
  EXPECT_NEAR(result.abs_sum[0], 5.0, 1e-6);
  EXPECT_NEAR(result.deviation[0], 0.25 * 3 + 0.75 * 1, 1e-6);
  EXPECT_NEAR(result.deviation_norm[0], std::hypot(0.25 * 3, 0.75 * 1), 1e-6);
}

TEST(ReferenceAttention, CountsHowOftenAMaximumCanRise) {
  const auto count = [](std::vector<float> scores) {
    const float q = 1;
    const std::int32_t page = 0;
    const auto kv_length = static_cast<std::int32_t>(scores.size());
    ReferenceInputs in;
    in.problem.batch = in.problem.h_q = in.problem.d_v = in.problem.d_qk = 1;
    in.problem.page_size = kv_length;
    in.kv_lengths = {&kv_length, 1};
    in.q = ConstTensorView(&q, DType::kFloat32, {1, 1, 1, 1});
    in.kv_cache = ConstTensorView(scores.data(), DType::kFloat32, {1, kv_length, 1, 1});
    in.block_table = ConstTensorView(&page, DType::kInt32, {1, 1});
    return algorithm::reference_attention(in).rows[0].max_rises;
  };
  EXPECT_EQ(count({2}), 0);
  EXPECT_EQ(count({2, 2, 2}), 0);
  EXPECT_EQ(count({1, 2, 3, 4}), 3);
  EXPECT_EQ(count({4, 3, 2, 1}), 3);        // read from the end
  EXPECT_EQ(count({3, 1, 2, 5, 4, 6}), 3);  // 1, 2, 5, 6: of a worker that starts at the second key
}

TEST(ReferenceAttention, CausalRowsSeeTheKeysUpToTheirOwn) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem(), .kv_lengths = {11, 2}};
  spec.problem.s_q = 4;
  spec.problem.mask = Mask::kCausal;
  AttentionCase attention_case(spec, rng);
  const ReferenceOutputs& causal = attention_case.reference();
  expect_finite(causal.out);
  const std::int64_t h_q = spec.problem.h_q;
  for (std::int64_t query = 0; query < 4; ++query) {
    // Query i alone, over keys 0 .. s_k - s_q + i without a mask.
    const std::int32_t lengths[] = {
        static_cast<std::int32_t>(11 - 3 + query),
        static_cast<std::int32_t>(std::max<std::int64_t>(0, 2 - 3 + query))};
    ReferenceInputs in = attention_case.reference_inputs();
    in.problem.mask = Mask::kNone;
    in.kv_lengths = lengths;
    const ReferenceOutputs plain = algorithm::reference_attention(in);
    for (std::int64_t request = 0; request < 2; ++request) {
      const std::int64_t row = (request * 4 + query) * h_q;
      EXPECT_EQ(rows_of(causal.out, row, h_q, 8), rows_of(plain.out, row, h_q, 8));
      EXPECT_EQ(rows_of(causal.lse, row, h_q, 1), rows_of(plain.lse, row, h_q, 1));
    }
  }
  EXPECT_EQ(causal.lse[static_cast<std::size_t>(4 * h_q)], INFINITY);  // s_k < s_q: sees nothing
  EXPECT_EQ(causal.max_logits[static_cast<std::size_t>(4 * h_q)], -INFINITY);
  EXPECT_EQ(causal.out[static_cast<std::size_t>(4 * h_q * 8)], 0.0);
}

TEST(ReferenceAttention, PackedPrefillEqualsDecode) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem(), .kv_lengths = {9, 5, 0}, .q_lengths = {3, 3, 3}};
  spec.problem.mask = Mask::kCausal;
  spec.problem.phase = Phase::kPrefill;
  AttentionCase packed(spec, rng);
  const ReferenceOutputs& result = packed.reference();
  ReferenceInputs in = packed.reference_inputs();
  in.problem.phase = Phase::kDecode;
  in.q = ConstTensorView(in.q.data, in.q.dtype, {3, 3, 6, 12});
  const ReferenceOutputs decode = algorithm::reference_attention(in);
  EXPECT_EQ(result.out, decode.out);
  EXPECT_EQ(result.lse, decode.lse);
  EXPECT_EQ(result.max_logits, decode.max_logits);
}

TEST(ReferenceAttention, RaggedRequestsEqualThemselvesAlone) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem(), .kv_lengths = {9, 0, 7, 30}, .q_lengths = {2, 1, 0, 5}};
  spec.problem.phase = Phase::kPrefill;
  AttentionCase ragged(spec, rng);
  const ReferenceOutputs& all = ragged.reference();
  ASSERT_EQ(all.num_rows, 8 * 6);
  std::int64_t first_token = 0;
  for (std::int64_t request = 0; request < 4; ++request) {
    const auto r = static_cast<std::size_t>(request);
    ReferenceInputs in = ragged.reference_inputs();
    in.problem.batch = 1;
    in.kv_lengths = in.kv_lengths.subspan(r, 1);
    in.q_lengths = in.q_lengths.subspan(r, 1);
    in.q.data = static_cast<const float*>(in.q.data) + first_token * in.q.step(0);
    in.block_table.data =
        static_cast<const std::int32_t*>(in.block_table.data) + request * in.block_table.step(0);
    const ReferenceOutputs alone = algorithm::reference_attention(in);
    EXPECT_EQ(rows_of(all.out, first_token * 6, alone.num_rows, 8), alone.out);
    first_token += spec.q_lengths[r];
  }
}

TEST(ReferenceAttention, TopKOfAllKeysEqualsDense) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem(), .kv_lengths = {10, 10}};
  spec.problem.s_q = 2;
  AttentionCase dense(spec, rng);
  // The same keys by index, with a -1 between any two and poison beyond top_k_lengths.
  constexpr std::int64_t kTopK = 25;
  std::vector<std::int32_t> indices(2 * 2 * kTopK, 2147483647);
  const std::vector<std::int32_t> top_k_lengths{20, 20};
  const StridedArray& table = dense.block_table();
  for (std::int64_t token = 0; token < 4; ++token) {
    for (std::int64_t key = 0; key < 10; ++key) {
      const auto at = static_cast<std::size_t>(token * kTopK + 2 * key);
      const double page = table.read(table.offset({token / 2, key / 4}));
      indices[at] = -1;
      indices[at + 1] = static_cast<std::int32_t>(page * 4 + static_cast<double>(key % 4));
    }
  }
  ReferenceInputs in = dense.reference_inputs();
  in.problem.sparsity = Sparsity::kTopK;
  in.problem.top_k = kTopK;
  in.kv_lengths = {};
  in.block_table = {};
  in.indices = ConstTensorView(indices.data(), DType::kInt32, {2, 2, kTopK});
  in.top_k_lengths = ConstTensorView(top_k_lengths.data(), DType::kInt32, {2});
  const ReferenceOutputs sparse = algorithm::reference_attention(in);
  EXPECT_EQ(sparse.out, dense.reference().out);
  EXPECT_EQ(sparse.lse, dense.reference().lse);
}

TEST(ReferenceAttention, StridesDoNotMatter) {
  for (Phase phase : {Phase::kDecode, Phase::kPrefill}) {
    for (Sparsity sparsity : {Sparsity::kDense, Sparsity::kTopK}) {
      CaseSpec spec{.problem = small_problem(), .kv_lengths = {9, 1, 17}, .q_lengths = {2, 0, 3}};
      spec.problem.phase = phase;
      spec.problem.sparsity = sparsity;
      spec.problem.top_k = sparsity == Sparsity::kTopK ? 7 : 0;
      spec.problem.has_attn_sink = true;
      spec.has_top_k_lengths = true;
      Rng rng = make_rng();
      const AttentionCase compact(spec, rng);
      spec.layout = Layout::kGaps;
      rng = make_rng();
      const AttentionCase with_gaps(spec, rng);
      expect_finite(compact.reference().out);
      EXPECT_EQ(compact.reference().out, with_gaps.reference().out);
      EXPECT_EQ(compact.reference().lse, with_gaps.reference().lse);
    }
  }
}

TEST(ReferenceAttention, ReadsEveryElementType) {
  for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    CaseSpec spec{.problem = small_problem(), .kv_lengths = {20}};
    spec.problem.q_dtype = dtype;
    spec.problem.kv_format = *plain_format(dtype);
    Rng rng = make_rng();
    AttentionCase narrow(spec, rng);
    spec.problem.q_dtype = DType::kFloat32;
    spec.problem.kv_format = KvFormat::kFloat32;
    rng = make_rng();
    AttentionCase wide(spec, rng);
    // The float32 case holds the unrounded numbers; give it the rounded ones.
    const auto copy = [](const StridedArray& from, StridedArray& to) {
      for (std::int64_t i = 0; i < from.num_elements(); ++i) to.write(i, from.read(i));
    };
    copy(narrow.q(), wide.q());
    copy(narrow.kv_cache(), wide.kv_cache());
    EXPECT_EQ(narrow.reference().out, wide.reference().out);
    EXPECT_EQ(narrow.reference().lse, wide.reference().lse);
  }
}

TEST(ReferenceAttention, SinksScaleTheOutputOnly) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem(), .kv_lengths = {20, 0}};
  spec.problem.has_attn_sink = true;
  spec.attn_sink = {0.7f, -INFINITY, INFINITY, -1e38f, 1e38f, -3.0f};
  AttentionCase with_sink(spec, rng);
  ReferenceInputs in = with_sink.reference_inputs();
  in.problem.has_attn_sink = false;
  const ReferenceOutputs plain = algorithm::reference_attention(in);
  const ReferenceOutputs& result = with_sink.reference();
  EXPECT_EQ(result.lse, plain.lse);
  EXPECT_EQ(result.max_logits, plain.max_logits);
  for (std::size_t row = 0; row < 12; ++row) {
    double factor = 0;  // the second request is empty
    if (row < 6) {
      const double sink = spec.attn_sink[row];
      factor = sink > 1e37 ? 0
               : sink < -1e37
                   ? 1
                   : std::exp(plain.lse[row]) / (std::exp(plain.lse[row]) + std::exp(sink));
      EXPECT_NEAR(result.rows[row].sink_share, 1 - factor, 1e-14);
    }
    for (std::size_t d = row * 8; d < row * 8 + 8; ++d) {
      EXPECT_NEAR(result.out[d], factor * plain.out[d], 1e-14);
      EXPECT_NEAR(result.abs_sum[d], factor * plain.abs_sum[d], 1e-14);
      EXPECT_NEAR(result.deviation[d], factor * plain.deviation[d], 1e-14);
      EXPECT_NEAR(result.deviation_norm[d], factor * plain.deviation_norm[d], 1e-14);
    }
  }
}

TEST(ReferenceAttention, HugeScoresStayFinite) {
  Rng rng = make_rng();
  for (double shift : {-5000.0, 5000.0}) {
    CaseSpec spec{.problem = small_problem(), .kv_lengths = {20}, .shape = ScoreShape::kOffset};
    spec.shift = shift;
    const AttentionCase attention_case(spec, rng);
    expect_finite(attention_case.reference().out);
    for (double lse : attention_case.reference().lse) EXPECT_NEAR(lse, shift, 100);
  }
}

TEST(ReferenceAttention, NothingToDoIsNoRow) {
  Rng rng = make_rng();
  CaseSpec spec{.problem = small_problem()};
  EXPECT_EQ(AttentionCase(spec, rng).reference().num_rows, 0);
  spec.kv_lengths = {3, 4};
  spec.problem.s_q = 0;
  EXPECT_EQ(AttentionCase(spec, rng).reference().num_rows, 0);
}

}  // namespace
}  // namespace seesaw::testing
