// The product of shapes: every combination of batch, query tokens, query heads, KV heads and cached
// length with both kernels; the other choices (mask, type, page size, schedule ...) are drawn at
// random.
#include <tuple>

#include "gpu/gpu_fixture.h"

namespace seesaw::testing {
namespace {

constexpr std::int32_t kMixed = -1;  // lengths from 0 to 4,096, short ones more often

std::vector<std::int32_t> lengths_of(Rng& rng, std::int64_t batch, std::int32_t s_k,
                                     bool is_varied) {
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < batch; ++i) {
    std::int64_t length = s_k;
    if (s_k == kMixed) {
      const std::int64_t most = pick<std::int64_t>(rng, {0, 1, 64, 200, 1000, 4096});
      length = uniform(rng, 0, most);
    } else if (is_varied) {
      length = uniform(rng, 0, s_k);
    }
    lengths.push_back(static_cast<std::int32_t>(length));
  }
  return lengths;
}

DeviceTrial make_trial(Rng& rng, std::int64_t batch, std::int64_t s_q, std::int32_t s_k,
                       std::int64_t h_q, std::int64_t h_kv) {
  DeviceTrial trial;
  CaseSpec& spec = trial.spec;
  spec = decode_spec(lengths_of(rng, batch, s_k, uniform(rng, 0, 2) == 0), h_q, s_q);
  spec.problem.h_kv = h_kv;
  spec.problem.mask = pick<Mask>(rng, {Mask::kNone, Mask::kCausal});
  set_types(spec, pick<DType>(rng, {DType::kBFloat16, DType::kBFloat16, DType::kFloat16}));
  if (uniform(rng, 0, 3) == 0) spec.problem.out_dtype = DType::kFloat32;
  spec.problem.page_size = pick<std::int64_t>(rng, {64, 64, 64, 16, 32, 128, 256});
  spec.problem.has_attn_sink = uniform(rng, 0, 3) == 0;
  spec.layout = pick<Layout>(rng, {Layout::kCompact, Layout::kCompact, Layout::kAlignedGaps});
  spec.stddev = pick<double>(rng, {0.3, 1.5, 1.5, 6.0});
  spec.shape = pick<ScoreShape>(rng, {ScoreShape::kNormal, ScoreShape::kNormal, ScoreShape::kNormal,
                                      ScoreShape::kRising, ScoreShape::kDominantLast});
  for (KernelChoice kernel : kAllKernels)
    trial.ways.push_back({.plan = {.mode = pick(rng, kAllModes)},
                          .lengths = pick(rng, kAllLengthSources),
                          .kernel = kernel});
  return trial;
}

class Product : public GpuTest,
                public ::testing::WithParamInterface<std::tuple<std::int64_t, std::int64_t>> {};

TEST_P(Product, OfLengthsAndHeads) {
  const auto [batch, s_q] = GetParam();
  std::vector<DeviceTrial> trials;
  for (std::int32_t s_k : {4096, kMixed, 1, 20, 63, 64, 65, 140})  // the long ones first
    for (std::int64_t h_q : {1, 3, 9, 16, 63, 64, 126, 128})
      for (std::int64_t h_kv : {1, 2, 8}) {
        // Many KV heads of many long requests would be gigabytes of keys.
        const std::int64_t num_keys = h_kv * batch * (s_k == kMixed ? 1000 : s_k);
        if (h_q % h_kv == 0 && num_keys <= 1 << 18)
          trials.push_back(make_trial(rng(), batch, s_q, s_k, h_q, h_kv));
      }
  run_trials(trials);
}

INSTANTIATE_TEST_SUITE_P(Decode, Product,
                         ::testing::Combine(::testing::Values(1, 2, 6, 64),
                                            ::testing::Values(1, 2, 4, 8)));

}  // namespace
}  // namespace seesaw::testing
