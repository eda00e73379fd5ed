#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace seesaw::model {
namespace {

/// The (fractional) pair that turns `turns` times over the length the model was trained on.
double pair_with_turns(const RopeConfig& config, double turns, double d_rope) {
  const auto length = static_cast<double>(config.original_max_positions);
  return d_rope * std::log(length / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(config.theta));
}

/// YaRN: how much of a pair's frequency is divided by the factor, from 0 (pairs that turn often:
/// they carry local order) to 1 (pairs that never complete a turn: they carry absolute position).
class Ramp {
 public:
  Ramp(const RopeConfig& config, double d_rope) {
    low_ = pair_with_turns(config, config.beta_fast, d_rope);
    high_ = pair_with_turns(config, config.beta_slow, d_rope);
    if (config.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, d_rope - 1.0);
    if (low_ == high_) high_ += 0.001;  // a step, not a division by zero
  }

  double operator()(double pair) const {
    return std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0);
  }

 private:
  double low_;
  double high_;
};

}  // namespace

Rope::Rope(const RopeConfig& config, std::int64_t d_rope)
    : attention_factor_(config.attention_factor), layout_(config.layout) {
  const auto width = static_cast<double>(d_rope);
  const Ramp ramp(config, width);
  for (std::int64_t pair = 0; pair < d_rope / 2; ++pair) {
    const double plain = std::pow(config.theta, -2.0 * static_cast<double>(pair) / width);
    const double slowed = config.is_yarn ? ramp(static_cast<double>(pair)) : 0.0;
    frequencies_.push_back(plain * (1.0 - slowed) + plain / config.factor * slowed);
  }
}

void Rope::compute(std::int64_t position, Angles& angles) const {
  angles.cosines.resize(frequencies_.size());
  angles.sines.resize(frequencies_.size());
  for (std::size_t pair = 0; pair < frequencies_.size(); ++pair) {
    const double angle = static_cast<double>(position) * frequencies_[pair];
    angles.cosines[pair] = static_cast<float>(std::cos(angle) * attention_factor_);
    angles.sines[pair] = static_cast<float>(std::sin(angle) * attention_factor_);
  }
}

void Rope::rotate(const Angles& angles, float* x) const {
  const std::size_t num_pairs = frequencies_.size();
  const bool is_interleaved = layout_ == RopeLayout::kInterleaved;
  for (std::size_t pair = 0; pair < num_pairs; ++pair) {
    float& a = is_interleaved ? x[2 * pair] : x[pair];
    float& b = is_interleaved ? x[2 * pair + 1] : x[pair + num_pairs];
    const float turned_a = a * angles.cosines[pair] - b * angles.sines[pair];
    b = b * angles.cosines[pair] + a * angles.sines[pair];
    a = turned_a;
  }
}

}  // namespace seesaw::model
