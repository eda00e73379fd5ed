#include "application/model/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "model/mapped_file.h"
#include "model/safetensors.h"

namespace seesaw::model {
namespace {

/// Natural logarithms of a row's softmax.
std::vector<double> log_softmax(std::span<const float> row) {
  const double largest = *std::ranges::max_element(row);
  double sum = 0.0;
  for (const float x : row) sum += std::exp(x - largest);
  std::vector<double> result;
  for (const float x : row) result.push_back(x - largest - std::log(sum));
  return result;
}

double divergence(std::span<const float> golden, std::span<const float> actual) {
  const auto p = log_softmax(golden);
  const auto q = log_softmax(actual);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

}  // namespace

GoldenInput read_golden(const std::string& name) {
  const std::filesystem::path folder = SEESAW_GOLDEN_FOLDER;
  std::ifstream text(folder / "logits_public.json");
  const auto fields = nlohmann::json::parse(text).at(name);
  GoldenInput input{
      fields.at("input_ids"), fields.at("greedy_prompt_length"), fields.at("greedy_64"), {}};
  const auto file = MappedFile::open(folder / "logits_public.safetensors");
  const auto bytes = file.value().bytes();
  const auto table = parse_safetensors(bytes, "logits_public.safetensors");
  const TensorEntry& entry = table.value().at(name + ".logits");
  input.logits.resize((entry.end - entry.begin) / sizeof(float));
  std::memcpy(input.logits.data(), bytes.data() + entry.begin, entry.end - entry.begin);
  if (input.logits.size() != input.ids.size() * kGoldenVocab) {
    throw std::runtime_error(name + ": golden logits and ids do not fit together");
  }
  return input;
}

std::filesystem::path tiny_model_folder() { return SEESAW_TINY_MODEL_FOLDER; }

LogitAgreement compare_logits(std::span<const float> actual, std::span<const float> golden) {
  LogitAgreement agreement;
  if (actual.size() != golden.size() || golden.empty()) {
    agreement.max_error = HUGE_VAL;
    return agreement;
  }
  const std::size_t num_rows = golden.size() / kGoldenVocab;
  std::size_t num_equal = 0;
  for (std::size_t row = 0; row < num_rows; ++row) {
    const auto a = actual.subspan(row * kGoldenVocab, kGoldenVocab);
    const auto g = golden.subspan(row * kGoldenVocab, kGoldenVocab);
    for (std::size_t i = 0; i < kGoldenVocab; ++i) {
      const double error = std::abs(double{a[i]} - g[i]);
      agreement.max_error = std::isnan(error) ? HUGE_VAL : std::max(agreement.max_error, error);
    }
    const auto argmax = [](std::span<const float> of) {
      return std::ranges::max_element(of) - of.begin();
    };
    num_equal += argmax(a) == argmax(g) ? 1 : 0;
    agreement.mean_divergence += divergence(g, a) / static_cast<double>(num_rows);
  }
  agreement.argmax_share = static_cast<double>(num_equal) / static_cast<double>(num_rows);
  return agreement;
}

}  // namespace seesaw::model
