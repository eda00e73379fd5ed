#include "model/config.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "model/json_fields.h"
#include "model/mapped_file.h"

namespace seesaw::model {
namespace {

using nlohmann::json;

// Far above any published model, and low enough that no product of two wraps or exceeds the 32-bit
// sizes of BLAS.
constexpr IntegerRange kWidth{1, std::int64_t{1} << 20};
constexpr IntegerRange kHeadWidth{1, 4'096};
constexpr IntegerRange kHeads{1, 4'096};
constexpr IntegerRange kLayers{1, 4'096};
constexpr IntegerRange kExperts{1, 65'536};
constexpr IntegerRange kVocabulary{1, std::int64_t{1} << 24};
constexpr IntegerRange kPositions{1, std::int64_t{1} << 30};

/// Requires a value that has no other meaning here; a missing field is fine.
void require(JsonFields& fields, const char* name, const json& wanted) {
  if (fields.has(name) && fields.raw(name) != wanted) {
    fields.refuse(StatusCode::kUnsupported, name, wanted.dump());
  }
}

void refuse_unsupported(JsonFields& fields) {
  require(fields, "hidden_act", "silu");
  require(fields, "mlp_bias", false);
  if (fields.has("quantization_config")) {
    fields.refuse(StatusCode::kUnsupported, "quantization_config",
                  "absent: quantized weights are not supported");
  }
}

void read_type(JsonFields& fields, Config& config) {
  const std::string type = fields.text("model_type");
  if (!fields.status()) return;
  if (type == "deepseek_v2") {
    config.type = ModelType::kDeepSeekV2;
  } else if (type == "deepseek_v3") {
    config.type = ModelType::kDeepSeekV3;
  } else {
    fields.refuse(StatusCode::kUnsupported, "model_type", "\"deepseek_v2\" or \"deepseek_v3\"");
  }
}

void read_sizes(JsonFields& fields, Config& config) {
  config.vocab_size = fields.integer("vocab_size", kVocabulary);
  config.hidden_size = fields.integer("hidden_size", kWidth);
  config.intermediate_size = fields.integer("intermediate_size", kWidth);
  config.num_layers = fields.integer("num_hidden_layers", kLayers);
  config.num_heads = fields.integer("num_attention_heads", kHeads);
  config.q_lora_rank = fields.integer_or_null("q_lora_rank", kWidth);
  config.kv_lora_rank = fields.integer("kv_lora_rank", kWidth);
  config.qk_nope_head_dim = fields.integer("qk_nope_head_dim", kHeadWidth);
  config.qk_rope_head_dim = fields.integer("qk_rope_head_dim", kHeadWidth);
  config.v_head_dim = fields.integer("v_head_dim", kHeadWidth);
  config.max_positions = fields.integer("max_position_embeddings", kPositions);
  config.rms_norm_eps = fields.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
  config.has_attention_bias = fields.boolean("attention_bias", false);
  config.has_tied_head = fields.boolean("tie_word_embeddings", false);
  if (!fields.status()) return;
  if (config.qk_rope_head_dim % 2 != 0) {
    fields.refuse(StatusCode::kCorruptData, "qk_rope_head_dim",
                  "even: its dimensions turn in pairs");
  }
  // Both only repeat what follows from the other fields.
  require(fields, "num_key_value_heads", config.num_heads);
  require(fields, "qk_head_dim", config.qk_head_dim());
}

/// Groups of experts, and what they must hold for the choice to be possible.
void read_groups(JsonFields& fields, MoeConfig& moe) {
  moe.num_groups = fields.integer("n_group", {1, moe.num_experts});
  moe.num_groups_per_token = fields.integer("topk_group", {1, moe.num_groups});
  if (!fields.status()) return;
  const std::int64_t group_size = moe.num_experts / moe.num_groups;
  if (moe.num_experts % moe.num_groups != 0) {
    fields.refuse(StatusCode::kCorruptData, "n_group",
                  fmt::format("a divisor of n_routed_experts = {}", moe.num_experts));
  } else if (moe.method == RoutingMethod::kNoAuxTc && group_size < 2) {
    fields.refuse(StatusCode::kCorruptData, "n_group",
                  fmt::format("<= n_routed_experts / 2 = {}: a group is judged by its two best",
                              moe.num_experts / 2));
  } else if (moe.num_experts_per_token > group_size * moe.num_groups_per_token) {
    fields.refuse(StatusCode::kCorruptData, "num_experts_per_tok",
                  fmt::format("<= {}, the experts of topk_group groups",
                              group_size * moe.num_groups_per_token));
  }
}

void read_routing_v2(JsonFields& fields, MoeConfig& moe) {
  require(fields, "scoring_func", "softmax");
  // HuggingFace ignores the field for this type, DeepSeek's own code normalizes instead of scaling:
  // there is no one meaning to follow. Every published checkpoint says false.
  require(fields, "norm_topk_prob", false);
  moe.normalize_weights = false;
  const std::string method = fields.text("topk_method", "greedy");
  if (method == "greedy") {
    moe.method = RoutingMethod::kGreedy;
  } else if (method == "group_limited_greedy") {
    moe.method = RoutingMethod::kGroupLimitedGreedy;
    read_groups(fields, moe);
  } else {
    fields.refuse(StatusCode::kUnsupported, "topk_method",
                  "\"greedy\" or \"group_limited_greedy\" for deepseek_v2");
  }
}

void read_routing_v3(JsonFields& fields, MoeConfig& moe) {
  require(fields, "scoring_func", "sigmoid");
  require(fields, "topk_method", "noaux_tc");
  moe.method = RoutingMethod::kNoAuxTc;
  moe.normalize_weights = fields.boolean("norm_topk_prob", true);
  read_groups(fields, moe);
}

void read_experts(JsonFields& fields, Config& config) {
  MoeConfig& moe = config.moe;
  moe.num_experts = fields.integer_or_null("n_routed_experts", kExperts);
  if (!fields.status() || moe.num_experts == 0) return;
  moe.num_experts_per_token = fields.integer("num_experts_per_tok", {1, moe.num_experts});
  moe.num_shared_experts = fields.integer_or_null("n_shared_experts", {0, 1'024});
  moe.intermediate_size = fields.integer("moe_intermediate_size", kWidth);
  moe.first_moe_layer = fields.integer("first_k_dense_replace", {0, kLayers.max});
  moe.moe_layer_step = fields.integer("moe_layer_freq", kLayers, 1);
  moe.scaling_factor = fields.number("routed_scaling_factor", {0.0, 1e6});
  if (!fields.status()) return;
  if (config.type == ModelType::kDeepSeekV2) {
    read_routing_v2(fields, moe);
  } else {
    read_routing_v3(fields, moe);
  }
}

/// YaRN's growth of attention scores with the stretch; 1 where nothing is stretched.
double yarn_mscale(double factor, double weight) {
  return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

void read_yarn(JsonFields& fields, RopeConfig& rope) {
  rope.is_yarn = true;
  rope.factor = fields.number("factor", {1.0, 1e6});
  rope.original_max_positions = fields.integer("original_max_position_embeddings", kPositions);
  rope.beta_fast = fields.number("beta_fast", {1e-3, 1e6}, 32.0);
  rope.beta_slow = fields.number("beta_slow", {1e-3, 1e6}, 1.0);
  rope.truncate = fields.boolean("truncate", true);
  const double mscale = fields.number("mscale", {0.0, 100.0}, 0.0);
  const double mscale_all_dim = fields.number("mscale_all_dim", {0.0, 100.0}, 0.0);
  const bool has_both = mscale != 0.0 && mscale_all_dim != 0.0;
  const double attention_factor =
      has_both ? yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, mscale_all_dim)
               : yarn_mscale(rope.factor, 1.0);
  rope.attention_factor = fields.number("attention_factor", {1e-3, 1e3}, attention_factor);
  if (mscale_all_dim != 0.0) rope.softmax_mscale = yarn_mscale(rope.factor, mscale_all_dim);
}

void read_rope(JsonFields& top, Config& config) {
  constexpr NumberRange kTheta{1.001, 1e12};
  RopeConfig& rope = config.rope;
  const bool is_interleaved = top.boolean("rope_interleave", true);
  rope.layout = is_interleaved ? RopeLayout::kInterleaved : RopeLayout::kHalves;
  if (config.type == ModelType::kDeepSeekV2) require(top, "rope_interleave", true);
  if (top.has("rope_parameters") && top.has("rope_scaling")) {
    top.refuse(StatusCode::kCorruptData, "rope_scaling", "absent where rope_parameters is there");
  }
  rope.theta = top.number("rope_theta", kTheta, 10000.0);
  const char* name = top.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!top.status() || !top.has(name)) return;
  JsonFields fields(top.raw(name), top.file_name(), std::string(name) + ".");
  rope.theta = fields.number("rope_theta", kTheta, rope.theta);
  require(fields, "partial_rotary_factor", 1.0);
  const char* type_name = fields.has("rope_type") ? "rope_type" : "type";
  // A scaling of no known kind would run as another model without a word.
  if (!fields.has(type_name) && fields.has("factor")) {
    fields.refuse(StatusCode::kCorruptData, "rope_type", "there beside a factor");
  }
  const std::string type = fields.text(type_name, "default");
  if (fields.status() && type == "yarn") {
    read_yarn(fields, rope);
  } else if (fields.status() && type != "default") {
    fields.refuse(StatusCode::kUnsupported, type_name, "\"yarn\" or \"default\"");
  }
  top.fail(fields.status());
}

/// One id, a list of them, or nothing.
std::vector<std::int32_t> read_eos_ids(JsonFields& fields, std::int64_t vocab_size) {
  constexpr const char* kName = "eos_token_id";
  std::vector<std::int32_t> ids;
  const json& value = fields.raw(kName);
  const json list = value.is_array()  ? value
                    : value.is_null() ? json::array()
                                      : json::array({value});
  for (const json& item : list) {
    const bool is_id = item.is_number_unsigned() &&
                       item.get<std::uint64_t>() < static_cast<std::uint64_t>(vocab_size);
    if (!is_id) {
      fields.fail({StatusCode::kCorruptData,
                   fmt::format("{}: {}: has {}, must be ids from 0 to vocab_size - 1 = {}",
                               fields.file_name(), kName, describe(item), vocab_size - 1)});
      return {};
    }
    ids.push_back(item.get<std::int32_t>());
  }
  return ids;
}

}  // namespace

float Config::softmax_scale() const noexcept {
  return static_cast<float>(rope.softmax_mscale * rope.softmax_mscale /
                            std::sqrt(static_cast<double>(qk_head_dim())));
}

bool Config::is_moe_layer(std::int64_t layer_idx) const noexcept {
  return moe.num_experts > 0 && layer_idx >= moe.first_moe_layer &&
         layer_idx % moe.moe_layer_step == 0;
}

Result<Config> parse_config(std::string_view text, std::string_view file_name) {
  const auto document = parse_json(text, file_name);
  if (!document) return document.status();
  JsonFields fields(document.value(), file_name);
  Config config;
  for (const auto read : {read_type, read_sizes, read_experts, read_rope}) {
    if (fields.status()) read(fields, config);
  }
  if (fields.status()) refuse_unsupported(fields);
  if (fields.status()) config.eos_ids = read_eos_ids(fields, config.vocab_size);
  if (!fields.status()) return fields.status();
  return config;
}

Result<std::vector<std::int32_t>> parse_eos_ids(std::string_view text, std::string_view file_name,
                                                std::int64_t vocab_size) {
  const auto document = parse_json(text, file_name);
  if (!document) return document.status();
  JsonFields fields(document.value(), file_name);
  auto ids = read_eos_ids(fields, vocab_size);
  if (!fields.status()) return fields.status();
  return ids;
}

Result<Config> load_config(const std::filesystem::path& folder) {
  const auto config_path = folder / "config.json";
  const auto config_file = MappedFile::open(config_path);
  if (!config_file) return config_file.status();
  auto config = parse_config(config_file.value().text(), config_path.string());
  if (!config) return config.status();
  const auto generation_path = folder / "generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(generation_path, ignored)) return config;
  const auto generation_file = MappedFile::open(generation_path);
  if (!generation_file) return generation_file.status();
  auto ids = parse_eos_ids(generation_file.value().text(), generation_path.string(),
                           config.value().vocab_size);
  if (!ids) return ids.status();
  if (!ids.value().empty()) config.value().eos_ids = std::move(ids).value();
  return config;
}

}  // namespace seesaw::model
