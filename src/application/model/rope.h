// Rotary position embedding, plain or YaRN.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"

namespace seesaw::model {

/// Turns pairs of dimensions by an angle that grows with the position. Angles are computed in
/// float64: at position 10^5 a float32 angle would be off by 10^-2.
/// Source: RoPE (arXiv 2104.09864, eq. 34), YaRN (arXiv 2309.00071, section 3.2).
class Rope {
 public:
  Rope(const RopeConfig& config, std::int64_t d_rope);

  /// Cosine and sine of each pair, [d_rope / 2] each, already times the attention factor.
  struct Angles {
    std::vector<float> cosines;
    std::vector<float> sines;
  };
  void compute(std::int64_t position, Angles& angles) const;

  /// Turns x [d_rope] in place.
  void rotate(const Angles& angles, float* x) const;

  /// Angle per position of each pair, [d_rope / 2].
  std::span<const double> frequencies() const noexcept { return frequencies_; }

 private:
  std::vector<double> frequencies_;
  double attention_factor_;
  RopeLayout layout_;
};

}  // namespace seesaw::model
