#include "model/forward.h"

#include <algorithm>

#include "model/row_ops.h"

namespace seesaw::model {

Status Forward::run(const Step& step, LatentCache& cache) {
  if (Status status = attention_.prepare(step, cache); !status) return status;
  attention_block_.prepare(step);
  const auto hidden = embed(step);
  const auto normed = normed_.resize(hidden.rows, hidden.cols);
  const auto branch = branch_.resize(hidden.rows, hidden.cols);
  const std::int64_t num_elements = hidden.rows * hidden.cols;
  for (std::int64_t layer_idx = 0; layer_idx < config_.num_layers; ++layer_idx) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(layer_idx)];
    rms_norm(hidden, layer.attention_norm.data(), config_.rms_norm_eps, normed);
    Status status = attention_block_.run(step, layer.attention, normed, cache.layer(layer_idx),
                                         attention_, branch);
    if (!status) return status;
    add_scaled(branch.data, 1.0f, num_elements, hidden.data);
    rms_norm(hidden, layer.mlp_norm.data(), config_.rms_norm_eps, normed);
    feed_forward_.run(layer, normed, branch);
    add_scaled(branch.data, 1.0f, num_elements, hidden.data);
  }
  return Status::ok();
}

MutableMatrixView Forward::embed(const Step& step) {
  num_tokens_ = step.num_tokens();
  const auto hidden = hidden_.resize(num_tokens_, config_.hidden_size);
  const TensorData& table = weights_.embedding;
  const std::int64_t row_bytes =
      config_.hidden_size * static_cast<std::int64_t>(size_bytes(table.dtype));
  for (std::int64_t token = 0; token < num_tokens_; ++token) {
    const std::int64_t id = step.ids[static_cast<std::size_t>(token)];
    widen(table.data + id * row_bytes, table.dtype, config_.hidden_size,
          hidden.data + token * hidden.stride);
  }
  return hidden;
}

void Forward::compute_logits(std::span<const std::int64_t> token_idx, float* logits) {
  const auto num_rows = static_cast<std::int64_t>(token_idx.size());
  const auto hidden = hidden_.resize(num_tokens_, config_.hidden_size);
  const auto rows = normed_.resize(num_rows, config_.hidden_size);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    std::copy_n(hidden.data + token_idx[static_cast<std::size_t>(row)] * hidden.stride, hidden.cols,
                rows.data + row * rows.stride);
  }
  rms_norm(rows, weights_.final_norm.data(), config_.rms_norm_eps, rows);
  multiply_transposed(rows, weights_.head.view(),
                      {logits, num_rows, config_.vocab_size, config_.vocab_size});
}

}  // namespace seesaw::model
