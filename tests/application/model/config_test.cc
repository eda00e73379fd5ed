// config.json: both forms of RoPE settings, and every refusal with file and field.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "application/model/golden.h"
#include "application/model/random_model.h"
#include "application/model/temp_folder.h"
#include "model/rope.h"

namespace seesaw::model {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

json valid_config(bool is_v3) {
  return json::parse(
      make_config({.name = "valid",
                   .is_v3 = is_v3,
                   .routing = is_v3 ? Routing::kNoAuxTc : Routing::kGroupLimitedGreedy}));
}

TEST(ParseConfig, ReadsTheTinyCheckpoint) {
  const auto config = load_config(tiny_model_folder());
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  const Config& c = config.value();
  EXPECT_EQ(c.type, ModelType::kDeepSeekV3);
  EXPECT_EQ(c.vocab_size, 258);
  EXPECT_EQ(c.d_qk(), 576);
  EXPECT_EQ(c.q_lora_rank, 160);
  EXPECT_EQ(c.moe.num_experts, 8);
  EXPECT_EQ(c.moe.method, RoutingMethod::kNoAuxTc);
  EXPECT_FALSE(c.is_moe_layer(0));
  EXPECT_TRUE(c.is_moe_layer(1));
  EXPECT_TRUE(c.rope.is_yarn);
  EXPECT_DOUBLE_EQ(c.rope.attention_factor, 1.0);
  const double mscale = 0.1 * std::log(4.0) + 1.0;
  EXPECT_FLOAT_EQ(c.softmax_scale(), static_cast<float>(mscale * mscale / std::sqrt(192.0)));
  EXPECT_THAT(c.eos_ids, ElementsAre(257));
}

/// The published form says the same as the one that transformers 5 writes.
TEST(ParseConfig, TakesBothFormsOfRope) {
  std::ifstream file(tiny_model_folder() / "config.json");
  json config = json::parse(file);
  const auto before = parse_config(config.dump(), "config.json");
  json rope = config["rope_parameters"];
  config.erase("rope_parameters");
  config["rope_theta"] = rope["rope_theta"];
  rope.erase("rope_theta");
  rope["type"] = rope["rope_type"];
  rope.erase("rope_type");
  config["rope_scaling"] = rope;
  const auto after = parse_config(config.dump(), "config.json");
  ASSERT_TRUE(after.is_ok()) << after.status().message();
  const Rope a(before.value().rope, 64);
  const Rope b(after.value().rope, 64);
  for (std::size_t i = 0; i < a.frequencies().size(); ++i) {
    EXPECT_EQ(a.frequencies()[i], b.frequencies()[i]);
  }
  EXPECT_EQ(after.value().softmax_scale(), before.value().softmax_scale());
}

TEST(ParseConfig, PlainRopeHasNoStretch) {
  json config = valid_config(true);
  config["rope_theta"] = 1e6;
  const auto parsed = parse_config(config.dump(), "config.json");
  ASSERT_TRUE(parsed.is_ok()) << parsed.status().message();
  EXPECT_FALSE(parsed.value().rope.is_yarn);
  EXPECT_FLOAT_EQ(parsed.value().softmax_scale(), 1.0f / std::sqrt(40.0f));
  const Rope rope(parsed.value().rope, 16);
  EXPECT_DOUBLE_EQ(rope.frequencies()[0], 1.0);
  EXPECT_NEAR(rope.frequencies()[4], 1e-3, 1e-15);
}

TEST(ParseConfig, YarnWithoutMscalesScalesTheAngles) {
  json config = valid_config(false);
  config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", 40}, {"original_max_position_embeddings", 4096}};
  const auto parsed = parse_config(config.dump(), "config.json");
  ASSERT_TRUE(parsed.is_ok()) << parsed.status().message();
  EXPECT_DOUBLE_EQ(parsed.value().rope.attention_factor, 0.1 * std::log(40.0) + 1.0);
  EXPECT_DOUBLE_EQ(parsed.value().rope.softmax_mscale, 1.0);
}

struct BadValue {
  std::string name;
  bool is_v3;
  std::string patch;  // JSON merge patch onto a valid configuration
  std::string field;
  std::string problem;
  StatusCode code = StatusCode::kCorruptData;
};

std::ostream& operator<<(std::ostream& out, const BadValue& bad) { return out << bad.name; }

class BadConfig : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadConfig, IsRefusedByNameAndField) {
  const BadValue& bad = GetParam();
  json config = valid_config(bad.is_v3);
  ASSERT_TRUE(parse_config(config.dump(), "f").is_ok());
  config.merge_patch(json::parse(bad.patch));
  const auto parsed = parse_config(config.dump(), "some/config.json");
  ASSERT_FALSE(parsed.is_ok());
  EXPECT_EQ(parsed.status().code(), bad.code);
  EXPECT_THAT(parsed.status().message(),
              AllOf(HasSubstr("some/config.json: " + bad.field + ": "), HasSubstr(bad.problem)));
}

constexpr StatusCode kUnsupported = StatusCode::kUnsupported;

const std::vector<BadValue> kBadValues = {
    {"OtherModel", true, R"({"model_type":"llama"})", "model_type", "is \"llama\"", kUnsupported},
    {"ModelNotText", true, R"({"model_type":3})", "model_type", "is 3, must be a string"},
    {"ModelMissing", true, R"({"model_type":null})", "model_type", "is missing"},
    {"OtherActivation", true, R"({"hidden_act":"gelu"})", "hidden_act", "is \"gelu\"",
     kUnsupported},
    {"MlpBias", false, R"({"mlp_bias":true})", "mlp_bias", "must be false", kUnsupported},
    {"Quantized", true, R"({"quantization_config":{"quant_method":"fp8"}})", "quantization_config",
     "must be absent", kUnsupported},
    {"HiddenMissing", true, R"({"hidden_size":null})", "hidden_size", "is missing"},
    {"HiddenText", true, R"({"hidden_size":"48"})", "hidden_size", "is \"48\", must be an integer"},
    {"HiddenFraction", true, R"({"hidden_size":48.5})", "hidden_size", "is 48.5"},
    {"HiddenZero", true, R"({"hidden_size":0})", "hidden_size", "is 0, must be an integer from 1"},
    {"HiddenNegative", true, R"({"hidden_size":-48})", "hidden_size", "is -48"},
    {"HiddenHuge", true, R"({"hidden_size":9223372036854775807})", "hidden_size", "is 9223372"},
    {"HiddenBeyond64Bits", true, R"({"hidden_size":18446744073709551615})", "hidden_size",
     "is 18446744073709551615"},
    {"VocabularyHuge", true, R"({"vocab_size":4294967296})", "vocab_size", "is 4294967296"},
    {"LayersZero", true, R"({"num_hidden_layers":0})", "num_hidden_layers", "is 0"},
    {"HeadsList", true, R"({"num_attention_heads":[3]})", "num_attention_heads", "is a list"},
    {"GroupedHeads", true, R"({"num_key_value_heads":1})", "num_key_value_heads", "must be 3",
     kUnsupported},
    {"HeadDimDiffers", true, R"({"qk_head_dim":41})", "qk_head_dim", "must be 40", kUnsupported},
    {"QueryRankZero", true, R"({"q_lora_rank":0})", "q_lora_rank", "is 0"},
    {"RopeOdd", true, R"({"qk_rope_head_dim":15})", "qk_rope_head_dim", "is 15, must be even"},
    {"PositionsZero", true, R"({"max_position_embeddings":0})", "max_position_embeddings", "is 0"},
    {"EpsNegative", true, R"({"rms_norm_eps":-1e-6})", "rms_norm_eps", "must be a number"},
    {"BiasText", true, R"({"attention_bias":"no"})", "attention_bias", "must be true or false"},
    {"TiedNumber", true, R"({"tie_word_embeddings":1})", "tie_word_embeddings",
     "must be true or false"},
    {"ExpertsText", true, R"({"n_routed_experts":"8"})", "n_routed_experts", "is \"8\""},
    {"MoreChosenThanExperts", true, R"({"num_experts_per_tok":9})", "num_experts_per_tok",
     "must be an integer from 1 to 8"},
    {"MoreChosenThanGroupsHold", true, R"({"num_experts_per_tok":5})", "num_experts_per_tok",
     "is 5, must be <= 4"},
    {"GroupsDoNotDivide", true, R"({"n_group":3})", "n_group", "must be a divisor"},
    {"GroupsMissing", true, R"({"n_group":null})", "n_group", "is missing"},
    {"GroupsOfOne", true, R"({"n_group":8,"topk_group":4})", "n_group", "judged by its two best"},
    {"MoreGroupsChosen", true, R"({"topk_group":5})", "topk_group",
     "must be an integer from 1 to 4"},
    {"LayerStepZero", true, R"({"moe_layer_freq":0})", "moe_layer_freq", "is 0"},
    {"ScaleText", true, R"({"routed_scaling_factor":"2.5"})", "routed_scaling_factor",
     "is \"2.5\", must be a number"},
    {"SoftmaxForV3", true, R"({"scoring_func":"softmax"})", "scoring_func", "must be \"sigmoid\"",
     kUnsupported},
    {"SigmoidForV2", false, R"({"scoring_func":"sigmoid"})", "scoring_func", "must be \"softmax\"",
     kUnsupported},
    {"MethodOfV2", true, R"({"topk_method":"greedy"})", "topk_method", "must be \"noaux_tc\"",
     kUnsupported},
    {"UnknownMethod", false, R"({"topk_method":"best"})", "topk_method", "is \"best\"",
     kUnsupported},
    {"NormalizedV2", false, R"({"norm_topk_prob":true})", "norm_topk_prob", "must be false",
     kUnsupported},
    {"HalvesInV2", false, R"({"rope_interleave":false})", "rope_interleave", "must be true",
     kUnsupported},
    {"ThetaOne", true, R"({"rope_theta":1.0})", "rope_theta", "is 1.0, must be a number"},
    {"OtherRope", true, R"({"rope_scaling":{"type":"linear","factor":2}})", "rope_scaling.type",
     "is \"linear\"", kUnsupported},
    {"ScalingOfNoType", true, R"({"rope_parameters":{"rope_typ":"yarn","factor":4}})",
     "rope_parameters.rope_type", "there beside a factor"},
    {"RopeTypeNumber", true, R"({"rope_parameters":{"rope_type":1}})", "rope_parameters.rope_type",
     "is 1, must be a string"},
    {"RopeNotAnObject", true, R"({"rope_scaling":"yarn"})", "rope_scaling",
     "is \"yarn\", must be an object"},
    {"BothRopes", true, R"({"rope_scaling":{"type":"yarn"},"rope_parameters":{"rope_theta":2}})",
     "rope_scaling", "must be absent"},
    {"FactorMissing", true, R"({"rope_scaling":{"type":"yarn"}})", "rope_scaling.factor",
     "is missing"},
    {"FactorZero", true,
     R"({"rope_scaling":{"type":"yarn","factor":0,"original_max_position_embeddings":64}})",
     "rope_scaling.factor", "is 0, must be a number"},
    {"OriginalMissing", true, R"({"rope_parameters":{"rope_type":"yarn","factor":2}})",
     "rope_parameters.original_max_position_embeddings", "is missing"},
    {"PartialRotation", true, R"({"rope_parameters":{"partial_rotary_factor":0.5}})",
     "rope_parameters.partial_rotary_factor", "must be 1.0", kUnsupported},
    {"EosOutside", true, R"({"eos_token_id":61})", "eos_token_id", "has 61"},
    {"EosText", true, R"({"eos_token_id":[1,"2"]})", "eos_token_id", "has \"2\""},
};

INSTANTIATE_TEST_SUITE_P(Values, BadConfig, ::testing::ValuesIn(kBadValues),
                         [](const auto& instance) { return instance.param.name; });

TEST(ParseConfig, RefusesWhatIsNoObject) {
  for (const char* text : {"", "{", "[]", "null", "3", "{\"a\":1,\"a\":2}", "\xff"}) {
    const auto parsed = parse_config(text, "some/config.json");
    ASSERT_FALSE(parsed.is_ok()) << text;
    EXPECT_THAT(parsed.status().message(), HasSubstr("some/config.json: "));
  }
}

/// A field that may be null must still be there: its absence has no safe meaning.
TEST(ParseConfig, AsksForNullableFields) {
  for (const char* name : {"q_lora_rank", "n_routed_experts", "n_shared_experts"}) {
    json config = valid_config(true);
    config.erase(name);
    const auto parsed = parse_config(config.dump(), "config.json");
    ASSERT_FALSE(parsed.is_ok()) << name;
    EXPECT_THAT(parsed.status().message(), HasSubstr(std::string(name) + ": is missing"));
  }
}

TEST(LoadConfig, GenerationConfigDecidesWhatEndsText) {
  const TempFolder folder;
  json config = valid_config(true);
  config["eos_token_id"] = 3;
  folder.write("config.json", config.dump());
  EXPECT_THAT(load_config(folder.path()).value().eos_ids, ElementsAre(3));
  folder.write("generation_config.json", R"({"eos_token_id":[5,6]})");
  EXPECT_THAT(load_config(folder.path()).value().eos_ids, ElementsAre(5, 6));
  folder.write("generation_config.json", "{}");
  EXPECT_THAT(load_config(folder.path()).value().eos_ids, ElementsAre(3));
  folder.write("generation_config.json", R"({"eos_token_id":"end"})");
  EXPECT_THAT(load_config(folder.path()).status().message(),
              HasSubstr("generation_config.json: eos_token_id: has \"end\""));
  config["eos_token_id"] = nullptr;
  folder.write("config.json", config.dump());
  folder.write("generation_config.json", "{}");
  EXPECT_THAT(load_config(folder.path()).value().eos_ids, IsEmpty());
}

}  // namespace
}  // namespace seesaw::model
