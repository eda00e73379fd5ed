#include "application/model/random_model.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace seesaw::model {
namespace {

using nlohmann::json;

json yarn_fields(const ModelSpec& spec) {
  return {
      {"factor", spec.factor},       {"original_max_position_embeddings", spec.original_positions},
      {"beta_fast", spec.beta_fast}, {"beta_slow", spec.beta_slow},
      {"mscale", spec.mscale},       {"mscale_all_dim", spec.mscale_all_dim}};
}

void add_rope(const ModelSpec& spec, json& config) {
  if (spec.rope_form == RopeForm::kYarnParameters) {
    config["rope_parameters"] = yarn_fields(spec);
    config["rope_parameters"]["rope_type"] = "yarn";
    config["rope_parameters"]["rope_theta"] = spec.theta;
    return;
  }
  config["rope_theta"] = spec.theta;
  config["rope_scaling"] = nullptr;
  if (spec.rope_form == RopeForm::kYarnScaling) {
    config["rope_scaling"] = yarn_fields(spec);
    config["rope_scaling"]["type"] = "yarn";
  }
}

void add_experts(const ModelSpec& spec, json& config) {
  if (spec.routing == Routing::kDense) {
    config["n_routed_experts"] = nullptr;
    return;
  }
  config["n_routed_experts"] = spec.experts;
  config["num_experts_per_tok"] = spec.experts_per_token;
  config["n_shared_experts"] = spec.shared_experts > 0 ? json(spec.shared_experts) : json(nullptr);
  config["moe_intermediate_size"] = spec.expert_width;
  config["first_k_dense_replace"] = spec.first_moe_layer;
  config["moe_layer_freq"] = spec.moe_layer_step;
  config["routed_scaling_factor"] = spec.routed_scale;
  config["norm_topk_prob"] = spec.is_v3 && spec.normalizes;
  config["scoring_func"] = spec.is_v3 ? "sigmoid" : "softmax";
  if (spec.routing == Routing::kGreedy) {
    config["topk_method"] = "greedy";
    config["n_group"] = nullptr;
    config["topk_group"] = nullptr;
    return;
  }
  config["topk_method"] = spec.routing == Routing::kNoAuxTc ? "noaux_tc" : "group_limited_greedy";
  config["n_group"] = spec.groups;
  config["topk_group"] = spec.groups_per_token;
}

/// Draws tensors into a table.
class Painter {
 public:
  Painter(const ModelSpec& spec, testing::Rng& rng) : spec_(spec), rng_(rng) {}

  /// Values of the size that keeps activations near 1.
  void matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
    add(name, {rows, cols}, 0.0f, 1.0f / std::sqrt(static_cast<float>(cols)));
  }
  void norm(const std::string& name, std::int64_t size) { add(name, {size}, 1.0f, 0.2f); }
  void bias(const std::string& name, std::int64_t size) { add(name, {size}, 0.0f, 0.3f); }
  void mlp(const std::string& prefix, std::int64_t width) {
    matrix(prefix + "gate_proj.weight", width, spec_.hidden);
    matrix(prefix + "up_proj.weight", width, spec_.hidden);
    matrix(prefix + "down_proj.weight", spec_.hidden, width);
  }
  void attention(const std::string& prefix);
  void feed_forward(const std::string& prefix, std::int64_t layer);

  NamedTensors tensors;

 private:
  void add(const std::string& name, std::vector<std::int64_t> shape, float mean, float deviation) {
    std::normal_distribution<float> distribution(mean, deviation);
    std::size_t size = 1;
    for (const std::int64_t dim : shape) size *= static_cast<std::size_t>(dim);
    NamedTensor tensor{std::move(shape), std::vector<float>(size), spec_.dtype};
    for (float& value : tensor.values) value = round_to(distribution(rng_), spec_.dtype);
    tensors.emplace(name, std::move(tensor));
  }

  const ModelSpec& spec_;
  testing::Rng& rng_;
};

void Painter::attention(const std::string& prefix) {
  const std::int64_t q_width = spec_.heads * (spec_.nope + spec_.rope);
  if (spec_.q_rank == 0) {
    matrix(prefix + "q_proj.weight", q_width, spec_.hidden);
  } else {
    matrix(prefix + "q_a_proj.weight", spec_.q_rank, spec_.hidden);
    norm(prefix + "q_a_layernorm.weight", spec_.q_rank);
    matrix(prefix + "q_b_proj.weight", q_width, spec_.q_rank);
    if (spec_.has_bias) bias(prefix + "q_a_proj.bias", spec_.q_rank);
  }
  matrix(prefix + "kv_a_proj_with_mqa.weight", spec_.kv_rank + spec_.rope, spec_.hidden);
  norm(prefix + "kv_a_layernorm.weight", spec_.kv_rank);
  matrix(prefix + "kv_b_proj.weight", spec_.heads * (spec_.nope + spec_.v), spec_.kv_rank);
  matrix(prefix + "o_proj.weight", spec_.hidden, spec_.heads * spec_.v);
  if (spec_.has_bias) {
    bias(prefix + "kv_a_proj_with_mqa.bias", spec_.kv_rank + spec_.rope);
    bias(prefix + "o_proj.bias", spec_.hidden);
  }
}

void Painter::feed_forward(const std::string& prefix, std::int64_t layer) {
  if (!spec_.is_moe_layer(layer)) return mlp(prefix, spec_.intermediate);
  matrix(prefix + "gate.weight", spec_.experts, spec_.hidden);
  if (spec_.is_v3) bias(prefix + "gate.e_score_correction_bias", spec_.experts);
  if (spec_.shared_experts > 0) {
    mlp(prefix + "shared_experts.", spec_.expert_width * spec_.shared_experts);
  }
  for (std::int64_t expert = 0; expert < spec_.experts; ++expert) {
    mlp(prefix + "experts." + std::to_string(expert) + ".", spec_.expert_width);
  }
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ModelSpec& spec) { return out << spec.name; }

std::string make_config(const ModelSpec& spec) {
  json config = {{"model_type", spec.is_v3 ? "deepseek_v3" : "deepseek_v2"},
                 {"hidden_act", "silu"},
                 {"vocab_size", spec.vocab},
                 {"hidden_size", spec.hidden},
                 {"intermediate_size", spec.intermediate},
                 {"num_hidden_layers", spec.layers},
                 {"num_attention_heads", spec.heads},
                 {"num_key_value_heads", spec.heads},
                 {"q_lora_rank", spec.q_rank > 0 ? json(spec.q_rank) : json(nullptr)},
                 {"kv_lora_rank", spec.kv_rank},
                 {"qk_nope_head_dim", spec.nope},
                 {"qk_rope_head_dim", spec.rope},
                 {"v_head_dim", spec.v},
                 {"max_position_embeddings", spec.max_positions},
                 {"rms_norm_eps", spec.eps},
                 {"attention_bias", spec.has_bias},
                 {"tie_word_embeddings", spec.has_tied_head},
                 {"eos_token_id", spec.vocab - 1}};
  if (spec.is_v3) config["rope_interleave"] = spec.is_interleaved;
  add_experts(spec, config);
  add_rope(spec, config);
  return config.dump(2);
}

NamedTensors make_weights(const ModelSpec& spec, testing::Rng& rng) {
  Painter painter(spec, rng);
  painter.matrix("model.embed_tokens.weight", spec.vocab, spec.hidden);
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    painter.norm(prefix + "input_layernorm.weight", spec.hidden);
    painter.attention(prefix + "self_attn.");
    painter.norm(prefix + "post_attention_layernorm.weight", spec.hidden);
    painter.feed_forward(prefix + "mlp.", layer);
  }
  painter.norm("model.norm.weight", spec.hidden);
  if (!spec.has_tied_head) painter.matrix("lm_head.weight", spec.vocab, spec.hidden);
  painter.matrix("model.layers." + std::to_string(spec.layers) + ".eh_proj.weight", 3, 5);
  painter.bias("model.layers.0.self_attn.rotary_emb.inv_freq", 4);
  return std::move(painter.tensors);
}

void write_model(const std::filesystem::path& folder, const ModelSpec& spec,
                 const NamedTensors& weights, int num_shards) {
  write_file(folder / "config.json", make_config(spec));
  if (num_shards == 1) return write_file(folder / "model.safetensors", make_file(weights));
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  for (int shard = 0; shard < num_shards; ++shard) {
    const std::string name = "model-" + std::to_string(shard) + ".safetensors";
    NamedTensors part;
    int position = 0;
    for (const auto& [tensor_name, tensor] : weights) {
      if (position++ % num_shards != shard) continue;
      part.emplace(tensor_name, tensor);
      index["weight_map"][tensor_name] = name;
    }
    write_file(folder / name, make_file(part));
  }
  write_file(folder / "model.safetensors.index.json", index.dump());
}

}  // namespace seesaw::model
