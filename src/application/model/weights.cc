#include "model/weights.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "seesaw/types/dtype.h"

namespace seesaw::model {
namespace {

template <typename Storage>
void widen_as(const std::byte* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    Storage value;
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof(Storage), sizeof(Storage));
    to[i] = static_cast<float>(value);
  }
}

/// Loads tensors by name; the first error sticks, so that the layout below reads as a list.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const Config& config)
      : checkpoint_(checkpoint), config_(config) {}

  Weight vector(const std::string& name, std::int64_t size) {
    const std::array<std::int64_t, 1> shape{size};
    return load(name, shape, 1, size);
  }

  Weight matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
    const std::array<std::int64_t, 2> shape{rows, cols};
    return load(name, shape, rows, cols);
  }

  TensorData mapped_matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
    const std::array<std::int64_t, 2> shape{rows, cols};
    auto tensor = checkpoint_.tensor(name, shape);
    if (!tensor) {
      if (status_.is_ok()) status_ = tensor.status();
      return {};
    }
    num_parameters_ += rows * cols;
    return tensor.value();
  }

  AttentionWeights attention(const std::string& prefix);
  MlpWeights mlp(const std::string& prefix, std::int64_t intermediate);
  LayerWeights layer(std::int64_t layer_idx);

  const Status& status() const noexcept { return status_; }
  std::int64_t num_parameters() const noexcept { return num_parameters_; }
  std::int64_t widened_bytes() const noexcept { return widened_bytes_; }

 private:
  Weight load(const std::string& name, std::span<const std::int64_t> shape, std::int64_t rows,
              std::int64_t cols) {
    if (!status_) return {};
    const auto tensor = checkpoint_.tensor(name, shape);
    if (!tensor) {
      status_ = tensor.status();
      return {};
    }
    Weight weight(tensor.value(), rows, cols);
    num_parameters_ += weight.num_elements();
    widened_bytes_ += weight.widened_bytes();
    return weight;
  }

  const Checkpoint& checkpoint_;
  const Config& config_;
  Status status_;
  std::int64_t num_parameters_ = 0;
  std::int64_t widened_bytes_ = 0;
};

AttentionWeights Loader::attention(const std::string& prefix) {
  const Config& c = config_;
  AttentionWeights w;
  if (c.q_lora_rank == 0) {
    w.q = matrix(prefix + "q_proj.weight", c.num_heads * c.qk_head_dim(), c.hidden_size);
  } else {
    w.q_a = matrix(prefix + "q_a_proj.weight", c.q_lora_rank, c.hidden_size);
    if (c.has_attention_bias) w.q_a_bias = vector(prefix + "q_a_proj.bias", c.q_lora_rank);
    w.q_a_norm = vector(prefix + "q_a_layernorm.weight", c.q_lora_rank);
    w.q_b = matrix(prefix + "q_b_proj.weight", c.num_heads * c.qk_head_dim(), c.q_lora_rank);
  }
  w.kv_a = matrix(prefix + "kv_a_proj_with_mqa.weight", c.d_qk(), c.hidden_size);
  if (c.has_attention_bias) w.kv_a_bias = vector(prefix + "kv_a_proj_with_mqa.bias", c.d_qk());
  w.kv_a_norm = vector(prefix + "kv_a_layernorm.weight", c.kv_lora_rank);
  w.kv_b = matrix(prefix + "kv_b_proj.weight", c.num_heads * (c.qk_nope_head_dim + c.v_head_dim),
                  c.kv_lora_rank);
  w.o = matrix(prefix + "o_proj.weight", c.hidden_size, c.num_heads * c.v_head_dim);
  if (c.has_attention_bias) w.o_bias = vector(prefix + "o_proj.bias", c.hidden_size);
  return w;
}

MlpWeights Loader::mlp(const std::string& prefix, std::int64_t intermediate) {
  return {.gate = matrix(prefix + "gate_proj.weight", intermediate, config_.hidden_size),
          .up = matrix(prefix + "up_proj.weight", intermediate, config_.hidden_size),
          .down = matrix(prefix + "down_proj.weight", config_.hidden_size, intermediate)};
}

LayerWeights Loader::layer(std::int64_t layer_idx) {
  const std::string prefix = fmt::format("model.layers.{}.", layer_idx);
  const MoeConfig& moe = config_.moe;
  LayerWeights w;
  w.attention_norm = vector(prefix + "input_layernorm.weight", config_.hidden_size);
  w.attention = attention(prefix + "self_attn.");
  w.mlp_norm = vector(prefix + "post_attention_layernorm.weight", config_.hidden_size);
  if (!config_.is_moe_layer(layer_idx)) {
    w.dense = mlp(prefix + "mlp.", config_.intermediate_size);
    return w;
  }
  w.router = matrix(prefix + "mlp.gate.weight", moe.num_experts, config_.hidden_size);
  if (moe.method == RoutingMethod::kNoAuxTc) {
    w.correction_bias = vector(prefix + "mlp.gate.e_score_correction_bias", moe.num_experts);
  }
  if (moe.num_shared_experts > 0) {
    w.dense = mlp(prefix + "mlp.shared_experts.", moe.intermediate_size * moe.num_shared_experts);
  }
  for (std::int64_t expert = 0; expert < moe.num_experts && status_; ++expert) {
    w.experts.push_back(
        mlp(fmt::format("{}mlp.experts.{}.", prefix, expert), moe.intermediate_size));
  }
  return w;
}

}  // namespace

void widen(const std::byte* from, DType dtype, std::int64_t count, float* to) {
  switch (dtype) {
    case DType::kBFloat16:
      return widen_as<BFloat16>(from, count, to);
    case DType::kFloat16:
      return widen_as<Float16>(from, count, to);
    default:
      return widen_as<float>(from, count, to);
  }
}

Weight::Weight(const TensorData& tensor, std::int64_t rows, std::int64_t cols)
    : rows_(rows), cols_(cols) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(tensor.data) % alignof(float) == 0;
  if (tensor.dtype == DType::kFloat32 && is_aligned) {
    mapped_ = reinterpret_cast<const float*>(tensor.data);
    return;
  }
  widened_.resize(static_cast<std::size_t>(rows * cols));
  widen(tensor.data, tensor.dtype, rows * cols, widened_.data());
}

Result<Weights> load_weights(
    Checkpoint checkpoint, const Config& config,
    const std::function<void(std::int64_t num_done, std::int64_t num_layers)>& on_progress) {
  Weights weights;
  weights.checkpoint = std::move(checkpoint);
  Loader loader(weights.checkpoint, config);
  weights.embedding =
      loader.mapped_matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size);
  for (std::int64_t layer_idx = 0; layer_idx < config.num_layers && loader.status(); ++layer_idx) {
    weights.layers.push_back(loader.layer(layer_idx));
    if (on_progress) on_progress(layer_idx + 1, config.num_layers);
  }
  weights.final_norm = loader.vector("model.norm.weight", config.hidden_size);
  const char* head = config.has_tied_head ? "model.embed_tokens.weight" : "lm_head.weight";
  weights.head = loader.matrix(head, config.vocab_size, config.hidden_size);
  if (!loader.status()) return loader.status();
  weights.num_parameters = loader.num_parameters();
  if (config.has_tied_head) weights.num_parameters -= weights.head.num_elements();
  weights.widened_bytes = loader.widened_bytes();
  return weights;
}

}  // namespace seesaw::model
