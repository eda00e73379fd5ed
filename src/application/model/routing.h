// Which experts a token goes to, and with what weight.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"

namespace seesaw::model {

struct ExpertChoice {
  std::int32_t expert = 0;
  float weight = 0.0f;
};

/// Chooses experts for one token after another; holds the memory it needs in between.
class Router {
 public:
  explicit Router(const MoeConfig& config);

  /// logits [num_experts]: the router's output. correction_bias [num_experts]: V3 only, else
  /// empty; it takes part in the choice but not in the weights. Fills
  /// chosen [num_experts_per_token], best first, ties to the lower expert.
  /// Source: DeepSeek-V2 (arXiv 2405.04434, section 2.2), DeepSeek-V3 (arXiv 2412.19437, eq.
  /// 13-16).
  void choose(std::span<const float> logits, std::span<const float> correction_bias,
              std::span<ExpertChoice> chosen);

 private:
  void compute_scores(std::span<const float> logits);
  void drop_weak_groups();

  MoeConfig config_;
  std::vector<float> scores_;        // [num_experts]: what weights are made of
  std::vector<float> preferences_;   // [num_experts]: what the choice is made by
  std::vector<float> group_scores_;  // [num_groups]
  std::vector<std::int32_t> order_;  // candidates, best first
};

}  // namespace seesaw::model
