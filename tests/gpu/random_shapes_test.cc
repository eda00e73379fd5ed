// Whatever shape, layout, mode and number of workers comes: small ones, so that many are tried.
#include <algorithm>
#include <cstdlib>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

/// Rounds to try; SEESAW_RANDOM_SHAPES asks for more.
int num_rounds() {
  const char* const asked = std::getenv("SEESAW_RANDOM_SHAPES");
  return asked != nullptr ? std::atoi(asked) : 12;
}

std::vector<std::int32_t> random_mixed_lengths(Rng& rng) {
  std::vector<std::int32_t> lengths = random_lengths(rng, uniform(rng, 1, 7), 0, 200);
  for (std::int32_t& length : lengths) {
    if (uniform(rng, 0, 3) == 0) length = pick<std::int32_t>(rng, {0, 1, 63, 64, 65, 128, 129});
  }
  if (uniform(rng, 0, 1) == 0) lengths[0] = static_cast<std::int32_t>(uniform(rng, 200, 1500));
  return lengths;
}

CaseSpec random_spec(Rng& rng) {
  CaseSpec spec;
  AttentionProblem& p = spec.problem;
  spec.kv_lengths = random_mixed_lengths(rng);
  p.h_kv = pick<std::int64_t>(rng, {1, 1, 1, 2, 3});
  p.s_q = pick<std::int64_t>(rng, {1, 1, 1, 2, 3, 5});
  p.h_q = p.h_kv * uniform(rng, 1, std::max<std::int64_t>(1, 128 / (p.h_kv * p.s_q)));
  const auto [d_qk, d_v] = pick<std::pair<std::int64_t, std::int64_t>>(
      rng, {{576, 512}, {576, 512}, {512, 512}, {320, 256}});
  p.d_qk = d_qk;
  p.d_v = d_v;
  p.page_size = pick<std::int64_t>(rng, {16, 32, 64, 64, 128, 256, 48});
  p.mask = pick<Mask>(rng, {Mask::kNone, Mask::kCausal});
  p.has_attn_sink = uniform(rng, 0, 2) == 0;
  set_types(spec, pick<DType>(rng, {DType::kBFloat16, DType::kFloat16}));
  if (uniform(rng, 0, 3) == 0) p.out_dtype = DType::kFloat32;
  spec.layout = pick<Layout>(rng, {Layout::kCompact, Layout::kAlignedGaps, Layout::kAlignedGaps});
  spec.shape = pick<ScoreShape>(rng, {ScoreShape::kNormal, ScoreShape::kNormal, ScoreShape::kRising,
                                      ScoreShape::kDominantLast});
  return spec;
}

using RandomShapes = GpuTest;

TEST_F(RandomShapes, AreRight) {
  for (int round = 0; round < num_rounds(); ++round) {
    SCOPED_TRACE(round);
    DeviceOptions options;
    options.plan.mode = pick(rng(), kAllModes);
    options.lengths = pick(rng(), kAllLengthSources);
    options.num_workers = static_cast<int>(uniform(rng(), 1, 14));
    run(random_spec(rng()), options);
  }
}

}  // namespace
}  // namespace seesaw::testing
