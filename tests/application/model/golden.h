// The golden inputs and logits of the tiny checkpoint (tests/golden/README.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace seesaw::model {

struct GoldenInput {
  std::vector<std::int32_t> ids;
  std::int64_t greedy_prompt_length = 0;
  std::vector<std::int32_t> greedy_64;
  std::vector<float> logits;  // [tokens, kGoldenVocab]
};

inline constexpr std::size_t kGoldenVocab = 258;

/// One of "short", "medium", "long". Throws where the files do not hold it.
GoldenInput read_golden(const std::string& name);

std::filesystem::path tiny_model_folder();

/// How logits compare with golden ones, over all positions.
struct LogitAgreement {
  double max_error = 0.0;
  double argmax_share = 0.0;     // positions with the same largest logit
  double mean_divergence = 0.0;  // Kullback-Leibler, of ours from the golden distribution, in nats
};

LogitAgreement compare_logits(std::span<const float> actual, std::span<const float> golden);

}  // namespace seesaw::model
