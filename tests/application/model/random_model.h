// Small random checkpoints of every architecture variant.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "application/model/safetensors_writer.h"
#include "seesaw/types/dtype.h"
#include "support/seed.h"

namespace seesaw::model {

enum class RopeForm : std::uint8_t {
  kPlain,           // neither object: rope_theta alone
  kYarnScaling,     // rope_scaling + rope_theta, as published checkpoints have it
  kYarnParameters,  // rope_parameters, as transformers 5 writes it
};

enum class Routing : std::uint8_t { kDense, kGreedy, kGroupLimitedGreedy, kNoAuxTc };

/// What config.json says, in the tests' own words; the defaults make a small valid model.
struct ModelSpec {
  std::string name;
  bool is_v3 = false;
  std::int64_t vocab = 61;
  std::int64_t hidden = 48;
  std::int64_t intermediate = 56;
  std::int64_t layers = 3;
  std::int64_t heads = 3;
  std::int64_t q_rank = 0;  // 0: null
  std::int64_t kv_rank = 32;
  std::int64_t nope = 24;
  std::int64_t rope = 16;
  std::int64_t v = 20;
  std::int64_t max_positions = 256;
  Routing routing = Routing::kDense;
  std::int64_t experts = 8;
  std::int64_t experts_per_token = 3;
  std::int64_t shared_experts = 1;  // 0: null
  std::int64_t expert_width = 28;
  std::int64_t groups = 4;
  std::int64_t groups_per_token = 2;
  std::int64_t first_moe_layer = 1;
  std::int64_t moe_layer_step = 1;
  bool normalizes = true;  // V3 only
  double routed_scale = 1.75;
  RopeForm rope_form = RopeForm::kPlain;
  bool is_interleaved = true;
  double theta = 100.0;
  double factor = 8.0;
  double beta_fast = 2.0;
  double beta_slow = 0.5;
  double mscale = 0.7;
  double mscale_all_dim = 0.9;
  std::int64_t original_positions = 64;
  bool has_bias = false;
  bool has_tied_head = false;
  double eps = 1e-6;
  DType dtype = DType::kBFloat16;

  bool is_moe_layer(std::int64_t layer) const {
    return routing != Routing::kDense && layer >= first_moe_layer && layer % moe_layer_step == 0;
  }
};

std::ostream& operator<<(std::ostream& out, const ModelSpec& spec);

/// config.json's text.
std::string make_config(const ModelSpec& spec);

/// All tensors of the model, already rounded to spec.dtype. Two extra ones that a loader has to
/// leave alone are among them: a multi-token prediction layer and a rotary buffer.
NamedTensors make_weights(const ModelSpec& spec, testing::Rng& rng);

/// Writes config.json and model.safetensors, or num_shards shards with an index.
void write_model(const std::filesystem::path& folder, const ModelSpec& spec,
                 const NamedTensors& weights, int num_shards = 1);

}  // namespace seesaw::model
