// From logits to the next token.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "seesaw/types/status.h"

namespace seesaw::model {

struct SamplingOptions {
  double temperature = 0.0;  // 0: the largest logit (greedy); else logits are divided by it
  double top_p = 1.0;        // (0, 1]: only the likeliest tokens that together reach it
  std::uint64_t seed = 0;
};

/// Whether a token can be chosen by these. Errors: kInvalidArgument (no logits), kCorruptData (a
/// NaN or +infinity among them, or nothing but -infinity).
Status check_logits(std::span<const float> logits);

/// Draws tokens; the same options and logits give the same tokens on every machine.
class Sampler {
 public:
  /// Errors: kInvalidArgument (temperature negative or not finite, top_p outside (0, 1]).
  static Result<Sampler> create(const SamplingOptions& options);

  /// The next token's id; ties go to the lower id. Errors: those of check_logits.
  Result<std::int32_t> next(std::span<const float> logits);

 private:
  explicit Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<std::pair<double, std::int32_t>> candidates_;  // probability, id
};

}  // namespace seesaw::model
