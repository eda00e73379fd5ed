// The architecture of a DeepSeek-V2/V3 checkpoint, as its config.json states it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "seesaw/types/status.h"

namespace seesaw::model {

enum class ModelType : std::uint8_t { kDeepSeekV2, kDeepSeekV3 };

constexpr const char* to_string(ModelType type) noexcept {
  return type == ModelType::kDeepSeekV2 ? "deepseek_v2" : "deepseek_v3";
}

/// How a token's routed experts are chosen from its router scores.
enum class RoutingMethod : std::uint8_t {
  kGreedy,              // V2: the largest softmax scores
  kGroupLimitedGreedy,  // V2: the same among the groups with the largest single score
  kNoAuxTc,             // V3: sigmoid scores plus a correction bias, groups by their two largest
};

enum class RopeLayout : std::uint8_t {
  kInterleaved,  // dimensions 2i and 2i + 1 turn together
  kHalves,       // dimensions i and i + d_rope / 2 turn together
};

/// Rotary position embedding: the plain one (factor 1, nothing else used) or YaRN.
struct RopeConfig {
  bool is_yarn = false;
  double theta = 10000.0;
  double factor = 1.0;            // YaRN: how far the trained length is stretched
  double beta_fast = 32.0;        // YaRN: turns over the trained length above which a dimension
  double beta_slow = 1.0;         //       keeps its speed, and below which it is slowed by factor
  double attention_factor = 1.0;  // cosines and sines are multiplied by it
  double softmax_mscale = 1.0;    // the softmax scale is multiplied by its square
  bool truncate = true;           // YaRN: ramp limits are whole dimensions
  std::int64_t original_max_positions = 0;
  RopeLayout layout = RopeLayout::kInterleaved;
};

/// Mixture of experts. num_experts = 0: every layer is dense.
struct MoeConfig {
  std::int64_t num_experts = 0;
  std::int64_t num_experts_per_token = 0;
  std::int64_t num_shared_experts = 0;
  std::int64_t intermediate_size = 0;  // of one expert
  std::int64_t num_groups = 1;
  std::int64_t num_groups_per_token = 1;
  std::int64_t first_moe_layer = 0;  // layers before it are dense
  std::int64_t moe_layer_step = 1;   // of the rest, those with layer_idx % step == 0 have experts
  RoutingMethod method = RoutingMethod::kNoAuxTc;
  bool normalize_weights = true;
  double scaling_factor = 1.0;
};

struct Config {
  ModelType type = ModelType::kDeepSeekV3;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;  // of a dense layer
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t q_lora_rank = 0;   // 0: queries come from one projection
  std::int64_t kv_lora_rank = 0;  // d_latent
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;  // d_rope
  std::int64_t v_head_dim = 0;
  std::int64_t max_positions = 0;
  double rms_norm_eps = 1e-6;
  bool has_attention_bias = false;
  bool has_tied_head = false;
  RopeConfig rope;
  MoeConfig moe;
  std::vector<std::int32_t> eos_ids;  // generation_config.json's where it has them

  std::int64_t qk_head_dim() const noexcept { return qk_nope_head_dim + qk_rope_head_dim; }
  /// Width of a cached token.
  std::int64_t d_qk() const noexcept { return kv_lora_rank + qk_rope_head_dim; }
  /// qk_head_dim^-0.5, times YaRN's mscale^2.
  float softmax_scale() const noexcept;
  bool is_moe_layer(std::int64_t layer_idx) const noexcept;
};

/// Reads config.json's text; file_name is what messages call it. Both forms of RoPE settings are
/// taken: `rope_parameters`, and `rope_scaling` with `rope_theta`.
/// Errors, each naming file and field: kCorruptData (no JSON, missing field, wrong type, value out
/// of range or in contradiction to another), kUnsupported (an architecture this engine lacks).
Result<Config> parse_config(std::string_view text, std::string_view file_name);

/// The end-of-sequence ids of generation_config.json's text; empty where it names none.
Result<std::vector<std::int32_t>> parse_eos_ids(std::string_view text, std::string_view file_name,
                                                std::int64_t vocab_size);

/// Reads folder/config.json and, where there is one, folder/generation_config.json.
/// Errors: those of parse_config, and kIoError.
Result<Config> load_config(const std::filesystem::path& folder);

}  // namespace seesaw::model
