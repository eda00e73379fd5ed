// A checkpoint's tensors, sorted into layers and ready for float32 products.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/config.h"
#include "model/matrix_product.h"
#include "model/safetensors.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

/// A float32 matrix (a vector has one row) that lies in the mapped file where that holds float32
/// at an aligned address, and is a widened copy otherwise. Empty where the model has none.
class Weight {
 public:
  Weight() = default;
  Weight(const TensorData& tensor, std::int64_t rows, std::int64_t cols);

  bool is_empty() const noexcept { return rows_ == 0; }
  const float* data() const noexcept { return widened_.empty() ? mapped_ : widened_.data(); }
  MatrixView view() const noexcept { return {data(), rows_, cols_, cols_}; }
  MatrixView rows(std::int64_t begin, std::int64_t count) const noexcept {
    return {data() + begin * cols_, count, cols_, cols_};
  }
  std::int64_t num_elements() const noexcept { return rows_ * cols_; }
  std::int64_t widened_bytes() const noexcept {
    return static_cast<std::int64_t>(widened_.size() * sizeof(float));
  }

 private:
  const float* mapped_ = nullptr;
  std::vector<float> widened_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

/// Widens count elements of a float32, bfloat16 or float16 array at any alignment.
void widen(const std::byte* from, DType dtype, std::int64_t count, float* to);

struct AttentionWeights {
  Weight q;          // [h * qk_head_dim, hidden]; empty where q_lora_rank > 0
  Weight q_a;        // [q_lora_rank, hidden]
  Weight q_a_bias;   // [q_lora_rank]
  Weight q_a_norm;   // [q_lora_rank]
  Weight q_b;        // [h * qk_head_dim, q_lora_rank]
  Weight kv_a;       // [d_latent + d_rope, hidden]
  Weight kv_a_bias;  // [d_latent + d_rope]
  Weight kv_a_norm;  // [d_latent]
  Weight kv_b;    // [h * (nope + v), d_latent]: W_UK of head 0, W_UV of head 0, W_UK of head 1, ..
  Weight o;       // [hidden, h * v_head_dim]
  Weight o_bias;  // [hidden]
};

/// down(silu(gate x) * up x)
struct MlpWeights {
  Weight gate;  // [intermediate, hidden]
  Weight up;    // [intermediate, hidden]
  Weight down;  // [hidden, intermediate]
};

struct LayerWeights {
  Weight attention_norm;  // [hidden]
  AttentionWeights attention;
  Weight mlp_norm;         // [hidden]
  MlpWeights dense;        // of a dense layer, or the shared experts of a mixture
  Weight router;           // [experts, hidden]; empty in a dense layer
  Weight correction_bias;  // [experts]; V3 only
  std::vector<MlpWeights> experts;
};

struct Weights {
  Checkpoint checkpoint;  // keeps the files mapped
  TensorData embedding;   // [vocab, hidden], as the file has it: rows are widened when looked up
  std::vector<LayerWeights> layers;
  Weight final_norm;  // [hidden]
  Weight head;        // [vocab, hidden]
  std::int64_t num_parameters = 0;
  std::int64_t widened_bytes = 0;
};

/// Takes every tensor that `config` asks for out of the checkpoint; others (the multi-token
/// prediction layers behind the last one, for example) are not looked at. on_progress, if given, is
/// called after each layer.
/// Errors: those of Checkpoint::tensor.
Result<Weights> load_weights(
    Checkpoint checkpoint, const Config& config,
    const std::function<void(std::int64_t num_done, std::int64_t num_layers)>& on_progress = {});

}  // namespace seesaw::model
