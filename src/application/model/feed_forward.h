// The second half of a layer: one MLP for all tokens, or a mixture of experts.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/routing.h"
#include "model/scratch.h"
#include "model/weights.h"

namespace seesaw::model {

class FeedForward {
 public:
  explicit FeedForward(const Config& config) : config_(config), router_(config.moe) {}

  /// x [tokens, hidden] (normed) -> out [tokens, hidden].
  void run(const LayerWeights& weights, MatrixView x, MutableMatrixView out);

 private:
  /// Tokens that one expert computes.
  struct Assignment {
    std::vector<std::int64_t> tokens;
    std::vector<float> token_weights;
  };
  void run_mlp(const MlpWeights& weights, MatrixView x, MutableMatrixView out);
  void assign(const LayerWeights& weights, MatrixView x);
  void add_expert(const MlpWeights& weights, const Assignment& assignment, MatrixView x,
                  MutableMatrixView out);

  const Config& config_;
  Router router_;
  std::vector<Assignment> assignments_;  // [experts]
  std::vector<ExpertChoice> chosen_;     // of one token
  Scratch gate_;
  Scratch up_;
  Scratch router_logits_;
  Scratch expert_in_;
  Scratch expert_out_;
};

}  // namespace seesaw::model
