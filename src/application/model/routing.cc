#include "model/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace seesaw::model {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Puts the `count` largest of `values` first in `order`, ties to the lower index.
void select_largest(std::span<const float> values, std::int64_t count,
                    std::vector<std::int32_t>& order) {
  order.resize(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      const float va = values[static_cast<std::size_t>(a)];
                      const float vb = values[static_cast<std::size_t>(b)];
                      return va > vb || (va == vb && a < b);
                    });
}

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

/// What a group is judged by: its two best preferences together (V3), its best (V2).
float judge(std::span<const float> group, RoutingMethod method) {
  float best = kNever;
  float second = kNever;
  for (float value : group) {
    if (value > best) {
      second = best;
      best = value;
    } else {
      second = std::max(second, value);
    }
  }
  return method == RoutingMethod::kNoAuxTc ? best + second : best;
}

}  // namespace

Router::Router(const MoeConfig& config)
    : config_(config),
      scores_(static_cast<std::size_t>(config.num_experts)),
      preferences_(static_cast<std::size_t>(config.num_experts)),
      group_scores_(static_cast<std::size_t>(config.num_groups)) {}

void Router::choose(std::span<const float> logits, std::span<const float> correction_bias,
                    std::span<ExpertChoice> chosen) {
  compute_scores(logits);
  preferences_ = scores_;
  for (std::size_t i = 0; i < correction_bias.size(); ++i) preferences_[i] += correction_bias[i];
  if (config_.method != RoutingMethod::kGreedy) drop_weak_groups();
  select_largest(preferences_, config_.num_experts_per_token, order_);
  float sum = 0.0f;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = {order_[i], scores_[static_cast<std::size_t>(order_[i])]};
    sum += chosen[i].weight;
  }
  const float divisor = config_.normalize_weights ? sum + 1e-20f : 1.0f;
  for (ExpertChoice& choice : chosen) {
    choice.weight = choice.weight / divisor * static_cast<float>(config_.scaling_factor);
  }
}

void Router::compute_scores(std::span<const float> logits) {
  if (config_.method == RoutingMethod::kNoAuxTc) {
    std::transform(logits.begin(), logits.end(), scores_.begin(), sigmoid);
    return;
  }
  const float largest = *std::max_element(logits.begin(), logits.end());
  std::transform(logits.begin(), logits.end(), scores_.begin(),
                 [&](float x) { return std::exp(x - largest); });
  const float sum = std::accumulate(scores_.begin(), scores_.end(), 0.0f);
  for (float& score : scores_) score /= sum;
}

void Router::drop_weak_groups() {
  const std::size_t group_size = preferences_.size() / group_scores_.size();
  const auto group = [&](std::size_t idx) {
    return std::span(preferences_).subspan(idx * group_size, group_size);
  };
  for (std::size_t idx = 0; idx < group_scores_.size(); ++idx) {
    group_scores_[idx] = judge(group(idx), config_.method);
  }
  select_largest(group_scores_, config_.num_groups_per_token, order_);
  for (auto weak = order_.begin() + config_.num_groups_per_token; weak != order_.end(); ++weak) {
    std::ranges::fill(group(static_cast<std::size_t>(*weak)), kNever);
  }
}

}  // namespace seesaw::model
