#include "model/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace seesaw::model {
namespace {

/// Index of the largest logit; the first error where there is none to choose.
Result<std::int32_t> find_largest(std::span<const float> logits) {
  if (logits.empty()) return Status(StatusCode::kInvalidArgument, "logits: must not be empty");
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) {
      return Status(
          StatusCode::kCorruptData,
          fmt::format("logits[{}]: is {}, must be finite", i,
                      std::isnan(logits[i]) ? "nan" : "inf"));  // a NaN's sign says nothing
    }
    if (logits[i] > logits[best]) best = i;
  }
  if (std::isinf(logits[best])) {
    return Status(StatusCode::kCorruptData, "logits: are all -inf, one must be finite");
  }
  return static_cast<std::int32_t>(best);
}

}  // namespace

Status check_logits(std::span<const float> logits) { return find_largest(logits).status(); }

Result<Sampler> Sampler::create(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0.0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("temperature: is {}, must be a number >= 0", options.temperature));
  }
  if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("top_p: is {}, must be > 0 and <= 1", options.top_p));
  }
  return Sampler(options);
}

Result<std::int32_t> Sampler::next(std::span<const float> logits) {
  auto largest = find_largest(logits);
  if (!largest || options_.temperature == 0.0) return largest;
  const double top = logits[static_cast<std::size_t>(largest.value())];
  candidates_.clear();
  double sum = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((logits[i] - top) / options_.temperature);
    candidates_.emplace_back(weight, static_cast<std::int32_t>(i));
    sum += weight;
  }
  std::ranges::sort(candidates_, [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  std::size_t num_kept = 0;
  double kept = 0.0;
  do {
    kept += candidates_[num_kept++].first;
  } while (num_kept < candidates_.size() && kept < options_.top_p * sum);
  // 53 random bits: std::uniform_real_distribution differs between standard libraries.
  double rest = static_cast<double>(random_() >> 11) * 0x1p-53 * kept;
  for (std::size_t i = 0; i + 1 < num_kept; ++i) {
    if (rest < candidates_[i].first) return candidates_[i].second;
    rest -= candidates_[i].first;
  }
  return candidates_[num_kept - 1].second;
}

}  // namespace seesaw::model
