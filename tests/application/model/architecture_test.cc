// Every architecture variant against the expanded float64 reference, on random checkpoints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "application/model/expanded_reference.h"
#include "application/model/random_model.h"
#include "application/model/temp_folder.h"
#include "model/session.h"
#include "support/seed.h"

namespace seesaw::model {
namespace {

constexpr std::int64_t kNumTokens = 70;  // beyond original_positions, over several pages

// A float32 product of length k is off by at most k 2^-24 of its largest partial sum; a layer has
// about 10 in a row, none longer than 128 here, and there are 3 layers: 3 * 10 * 128 * 2^-24 of the
// largest logit, though rounding errors mostly cancel. A wrong rule is off by 10 % and more, as
// RulesMatter shows.
constexpr double kRelativeTolerance = 3 * 10 * 128 * 0x1p-24;

struct Case {
  ModelSpec spec;
  NamedTensors weights;
  std::vector<std::int32_t> ids;
  ReferenceResult expected;
};

/// Draws until float32 arithmetic cannot flip a choice of experts.
Case draw_case(const ModelSpec& spec) {
  auto rng = testing::make_rng();
  Case drawn{spec, {}, {}, {}};
  do {
    drawn.weights = make_weights(spec, rng);
    drawn.ids.clear();
    for (std::int64_t i = 0; i < kNumTokens; ++i) {
      drawn.ids.push_back(static_cast<std::int32_t>(testing::uniform(rng, 0, spec.vocab - 1)));
    }
    drawn.expected = run_reference(spec, drawn.weights, drawn.ids);
  } while (drawn.expected.smallest_routing_gap < 2e-5);
  return drawn;
}

double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

/// Largest difference as a share of the largest expected value.
double relative_error(const std::vector<float>& actual, const std::vector<double>& expected) {
  if (actual.size() != expected.size()) return HUGE_VAL;
  double error = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(actual[i] - expected[i]);
    error = std::isnan(difference) ? HUGE_VAL : std::max(error, difference);
  }
  return error / largest(expected);
}

std::vector<float> run_engine(const Case& drawn, int num_shards, std::int64_t chunk_tokens) {
  const TempFolder folder;
  write_model(folder.path(), drawn.spec, drawn.weights, num_shards);
  const Model model = Model::load(folder.path(), {.num_threads = 2, .on_progress = {}}).value();
  Session session = Session::create(model, {.cache_tokens = 128,
                                            .page_size = 16,
                                            .chunk_tokens = chunk_tokens,
                                            .kv_format = KvFormat::kFloat32})
                        .value();
  const SequenceTokens prompt{session.add_sequence(), drawn.ids};
  std::vector<float> logits;
  const Status status = session.prefill({&prompt, 1}, LogitsOf::kEveryToken, logits);
  EXPECT_TRUE(status.is_ok()) << status.message();
  return logits;
}

std::vector<ModelSpec> make_variants() {
  return {
      {.name = "v2_dense_plain"},
      {.name = "v2_greedy_direct_query", .routing = Routing::kGreedy, .dtype = DType::kFloat16},
      {.name = "v2_greedy_low_rank_query",
       .q_rank = 28,
       .routing = Routing::kGreedy,
       .rope_form = RopeForm::kYarnScaling},
      {.name = "v2_group_limited_direct_query",
       .routing = Routing::kGroupLimitedGreedy,
       .shared_experts = 2,
       .rope_form = RopeForm::kYarnScaling,
       .dtype = DType::kFloat32},
      {.name = "v2_group_limited_low_rank_query",
       .q_rank = 28,
       .routing = Routing::kGroupLimitedGreedy,
       .rope_form = RopeForm::kYarnParameters,
       .has_tied_head = true},
      {.name = "v2_tied_head_without_shared_experts",
       .routing = Routing::kGreedy,
       .shared_experts = 0,
       .has_tied_head = true,
       .dtype = DType::kFloat32},
      {.name = "v2_biases",
       .q_rank = 28,
       .rope_form = RopeForm::kYarnScaling,
       .has_bias = true,
       .eps = 1e-2},
      {.name = "v3_direct_query",
       .is_v3 = true,
       .routing = Routing::kNoAuxTc,
       .rope_form = RopeForm::kYarnScaling},
      {.name = "v3_low_rank_query",
       .is_v3 = true,
       .q_rank = 28,
       .routing = Routing::kNoAuxTc,
       .normalizes = false,
       .rope_form = RopeForm::kYarnParameters},
      {.name = "v3_half_rotation",
       .is_v3 = true,
       .routing = Routing::kNoAuxTc,
       .moe_layer_step = 2,
       .is_interleaved = false},
  };
}

class Architecture : public ::testing::TestWithParam<ModelSpec> {};

TEST_P(Architecture, MatchesExpandedReference) {
  const Case drawn = draw_case(GetParam());
  EXPECT_LT(relative_error(run_engine(drawn, 1, 64), drawn.expected.logits), kRelativeTolerance);
}

TEST_P(Architecture, MatchesInShardsAndChunks) {
  const Case drawn = draw_case(GetParam());
  EXPECT_LT(relative_error(run_engine(drawn, 3, 9), drawn.expected.logits), kRelativeTolerance);
}

INSTANTIATE_TEST_SUITE_P(Variants, Architecture, ::testing::ValuesIn(make_variants()),
                         [](const auto& instance) { return instance.param.name; });

struct Rule {
  const char* name;
  std::function<void(ModelSpec&)> change;
};

std::ostream& operator<<(std::ostream& out, const Rule& rule) { return out << rule.name; }

class RulesMatter : public ::testing::TestWithParam<Rule> {};

/// A reference that follows another rule is far off: the tolerance above tells rules apart.
TEST_P(RulesMatter, ChangesLogits) {
  ModelSpec spec{.name = "v3",
                 .is_v3 = true,
                 .q_rank = 28,
                 .routing = Routing::kNoAuxTc,
                 .rope_form = RopeForm::kYarnScaling};
  const Case drawn = draw_case(spec);
  GetParam().change(spec);
  const auto other = run_reference(spec, drawn.weights, drawn.ids);
  const auto logits = run_engine(drawn, 1, 64);
  EXPECT_LT(relative_error(logits, drawn.expected.logits), kRelativeTolerance);
  EXPECT_GT(relative_error(logits, other.logits), 10 * kRelativeTolerance);
}

const std::vector<Rule> kRules = {
    {"rope_layout", [](ModelSpec& s) { s.is_interleaved = false; }},
    {"plain_rope", [](ModelSpec& s) { s.rope_form = RopeForm::kPlain; }},
    {"mscale", [](ModelSpec& s) { s.mscale = s.mscale_all_dim; }},
    {"mscale_all_dim", [](ModelSpec& s) { s.mscale_all_dim = s.mscale; }},
    {"beta_fast", [](ModelSpec& s) { s.beta_fast = 1.0; }},
    {"normalization", [](ModelSpec& s) { s.normalizes = false; }},
    {"routed_scale", [](ModelSpec& s) { s.routed_scale = 1.5; }},
    {"group_limit", [](ModelSpec& s) { s.groups_per_token = s.groups; }},
    {"rms_norm_eps", [](ModelSpec& s) { s.eps = 1e-2; }},
    {"shared_experts", [](ModelSpec& s) { s.shared_experts = 0; }},
};

INSTANTIATE_TEST_SUITE_P(Rules, RulesMatter, ::testing::ValuesIn(kRules),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace seesaw::model
