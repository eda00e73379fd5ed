// Every CPU kernel against the oracle where its blocking has edges: rows around a vector and a
// tile, keys around a quad and a block, dimensions around a step, a chunk and a padded row.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "seesaw/device.h"
#include "support/run_case.h"
#include "support/run_size.h"

namespace seesaw::testing {
namespace {

struct Types {
  DType q;
  DType kv;
  DType out;
};

/// Serves `isa`'s own kernel: that of AVX-512 BF16 takes bfloat16 only.
std::vector<Types> types_of(CpuIsa isa) {
  constexpr DType kF32 = DType::kFloat32, kBf16 = DType::kBFloat16, kF16 = DType::kFloat16;
  if (isa == CpuIsa::kAvx512Bf16) {
    return {{kBf16, kBf16, kBf16}, {kBf16, kBf16, kF32}, {kBf16, kBf16, kF16}};
  }
  return {{kF32, kF32, kF32},
          {kF32, kBf16, kF32},
          {kBf16, kF16, kF16},
          {kF16, kF32, kBf16},
          {kBf16, kBf16, kBf16}};
}

class AttentionKernels : public ::testing::TestWithParam<CpuIsa> {
 protected:
  void SetUp() override {
    if (!cpu_supports(GetParam())) {
      GTEST_SKIP() << "this CPU cannot run " << to_string(GetParam());
    }
  }

  /// Runs the case with every combination of types that the kernel serves; in a sanitized build
  /// with two of them, by turns.
  void check(const CaseSpec& spec) {
    const std::vector<Types> all = types_of(GetParam());
    std::vector<Types> some;
    for (std::int64_t i = 0; i < run_size(std::ssize(all), 2); ++i)
      some.push_back(all[num_taken_++ % all.size()]);
    check(spec, some);
  }

  void check(CaseSpec spec, const std::vector<Types>& all_types) {
    for (const Types& types : all_types) {
      spec.problem.q_dtype = types.q;
      spec.problem.kv_format = *plain_format(types.kv);
      spec.problem.out_dtype = types.out;
      AttentionCase attention_case(spec, rng_);
      RunReport report;
      EXPECT_TRUE(run_case(attention_case, executor_, {.isa = GetParam()}, &report))
          << to_string(spec);
      EXPECT_EQ(report.plan.cpu_isa, GetParam());
    }
  }

  Rng rng_ = make_rng();
  Executor executor_ = Executor::cpu(2);
  std::size_t num_taken_ = 0;  // combinations of types
};

AttentionProblem problem_of(std::int64_t h_q, std::int64_t d_qk = 192, std::int64_t d_v = 128) {
  AttentionProblem problem;
  problem.h_q = h_q;
  problem.d_qk = d_qk;
  problem.d_v = d_v;
  return problem;
}

TEST_P(AttentionKernels, RowsAroundVectorsAndTiles) {
  for (const std::int64_t h_q : {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 128, 129, 200}) {
    check({.problem = problem_of(h_q), .kv_lengths = {70}});
  }
}

TEST_P(AttentionKernels, KeysAroundQuadsAndBlocks) {
  for (const std::int32_t length :
       {0, 1, 2, 3, 4, 5, 11, 12, 13, 63, 64, 65, 95, 96, 97, 100, 191, 192, 193, 388, 1000}) {
    check({.problem = problem_of(16), .kv_lengths = {length}});
  }
}

TEST_P(AttentionKernels, DimensionsAroundStepsAndChunks) {
  struct Dims {
    std::int64_t d_qk, d_v;
  };
  for (const Dims dims :
       {Dims{1, 1}, {2, 1},     {3, 3},     {4, 4},     {15, 9},    {16, 16},     {31, 31},
        {32, 32},   {33, 32},   {34, 33},   {48, 40},   {64, 64},   {66, 64},     {100, 96},
        {101, 100}, {192, 128}, {320, 256}, {512, 512}, {576, 576}, {1023, 1000}, {1024, 1024}}) {
    check({.problem = problem_of(9, dims.d_qk, dims.d_v), .kv_lengths = {101}});
  }
}

TEST_P(AttentionKernels, PageSizes) {
  for (const std::int64_t page_size :
       {1, 2, 3, 4, 5, 7, 8, 12, 16, 32, 63, 64, 65, 128, 256, 1000}) {
    CaseSpec spec{.problem = problem_of(16), .kv_lengths = {257, 64, 5}};
    spec.problem.page_size = page_size;
    check(spec);
  }
}

TEST_P(AttentionKernels, SeveralKvHeadsAndQueryTokens) {
  for (const std::int64_t h_kv : {1, 2, 8}) {
    for (const std::int64_t s_q : {1, 5, 17}) {
      for (const Mask mask : {Mask::kNone, Mask::kCausal}) {
        CaseSpec spec{.problem = problem_of(24), .kv_lengths = {70, 20, 3, 0}};
        spec.problem.h_kv = h_kv;
        spec.problem.s_q = s_q;
        spec.problem.mask = mask;
        check(spec, {types_of(GetParam()).front()});
      }
    }
  }
}

TEST_P(AttentionKernels, GapsAndOddAlignment) {
  for (const std::int32_t length : {64, 97, 200}) {
    CaseSpec spec{.problem = problem_of(16), .kv_lengths = {length}, .layout = Layout::kGaps};
    check(spec);
    spec.problem.h_kv = 2;
    check(spec);
  }
}

TEST_P(AttentionKernels, ScoresOfEveryShape) {
  for (const ScoreShape shape :
       {ScoreShape::kNormal, ScoreShape::kDominantFirst, ScoreShape::kDominantMiddle,
        ScoreShape::kDominantLast, ScoreShape::kRising, ScoreShape::kOffset, ScoreShape::kEqualKeys,
        ScoreShape::kEqualValues}) {
    for (const double shift : {-300.0, 2.0, 12.0, 300.0}) {
      check({.problem = problem_of(16), .kv_lengths = {300}, .shape = shape, .shift = shift},
            {types_of(GetParam()).front()});
    }
  }
}

TEST_P(AttentionKernels, HeadsOfDeepSeek) {
  for (const std::int64_t h_q : {std::int64_t{16}, run_size(128, 48)}) {
    check({.problem = problem_of(h_q, 576, 512), .kv_lengths = {230, 64}}, types_of(GetParam()));
  }
}

TEST_P(AttentionKernels, TopKOfAnySize) {
  for (const std::int64_t top_k : {1, 2, 5, 63, 96, 97, 200}) {
    CaseSpec spec{.problem = problem_of(16), .kv_lengths = {300, 40}};
    spec.problem.s_q = 3;
    spec.problem.sparsity = Sparsity::kTopK;
    spec.problem.top_k = top_k;
    check(spec);
    spec.missing_indices = 1.0;
    check(spec);
    spec.missing_indices = 0.5;
    spec.has_top_k_lengths = true;
    check(spec);
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttentionKernels,
                         ::testing::Values(CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512,
                                           CpuIsa::kAvx512Bf16),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace seesaw::testing
