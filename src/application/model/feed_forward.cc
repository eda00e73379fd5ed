#include "model/feed_forward.h"

#include <algorithm>

#include "model/row_ops.h"

namespace seesaw::model {

void FeedForward::run(const LayerWeights& weights, MatrixView x, MutableMatrixView out) {
  if (weights.dense.gate.is_empty()) {
    std::fill_n(out.data, out.rows * out.cols, 0.0f);  // a mixture without shared experts
  } else {
    run_mlp(weights.dense, x, out);
  }
  if (weights.experts.empty()) return;
  assign(weights, x);
  // Experts in rising order, so that a token's sum does not depend on its neighbours.
  for (std::size_t expert = 0; expert < assignments_.size(); ++expert) {
    if (assignments_[expert].tokens.empty()) continue;
    add_expert(weights.experts[expert], assignments_[expert], x, out);
  }
}

void FeedForward::run_mlp(const MlpWeights& weights, MatrixView x, MutableMatrixView out) {
  const std::int64_t intermediate = weights.gate.view().rows;
  const auto gate = gate_.resize(x.rows, intermediate);
  const auto up = up_.resize(x.rows, intermediate);
  multiply_transposed(x, weights.gate.view(), gate);
  multiply_transposed(x, weights.up.view(), up);
  gate_silu(up, gate);
  multiply_transposed(gate, weights.down.view(), out);
}

void FeedForward::assign(const LayerWeights& weights, MatrixView x) {
  const std::int64_t num_experts = config_.moe.num_experts;
  const auto logits = router_logits_.resize(x.rows, num_experts);
  multiply_transposed(x, weights.router.view(), logits);
  assignments_.resize(static_cast<std::size_t>(num_experts));
  for (Assignment& assignment : assignments_) {
    assignment.tokens.clear();
    assignment.token_weights.clear();
  }
  chosen_.resize(static_cast<std::size_t>(config_.moe.num_experts_per_token));
  const std::span bias(weights.correction_bias.data(),
                       static_cast<std::size_t>(weights.correction_bias.num_elements()));
  for (std::int64_t token = 0; token < x.rows; ++token) {
    const std::span of_token(logits.data + token * logits.stride,
                             static_cast<std::size_t>(num_experts));
    router_.choose(of_token, bias, chosen_);
    for (const ExpertChoice& choice : chosen_) {
      Assignment& assignment = assignments_[static_cast<std::size_t>(choice.expert)];
      assignment.tokens.push_back(token);
      assignment.token_weights.push_back(choice.weight);
    }
  }
}

void FeedForward::add_expert(const MlpWeights& weights, const Assignment& assignment, MatrixView x,
                             MutableMatrixView out) {
  const auto num_tokens = static_cast<std::int64_t>(assignment.tokens.size());
  const auto in = expert_in_.resize(num_tokens, x.cols);
  for (std::int64_t i = 0; i < num_tokens; ++i) {
    const std::int64_t token = assignment.tokens[static_cast<std::size_t>(i)];
    std::copy_n(x.data + token * x.stride, x.cols, in.data + i * in.stride);
  }
  const auto result = expert_out_.resize(num_tokens, x.cols);
  run_mlp(weights, in, result);
  for (std::int64_t i = 0; i < num_tokens; ++i) {
    const auto idx = static_cast<std::size_t>(i);
    add_scaled(result.data + i * result.stride, assignment.token_weights[idx], x.cols,
               out.data + assignment.tokens[idx] * out.stride);
  }
}

}  // namespace seesaw::model
