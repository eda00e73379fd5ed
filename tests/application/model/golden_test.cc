// The trained tiny checkpoint against golden logits (tests/golden/README.md).
#include "application/model/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "model/session.h"
#include "support/run_size.h"

namespace seesaw::model {
namespace {

constexpr double kLargestLogitError = 5e-3;

/// Largest chunk of a prefill: "medium" fits into it, "long" does not.
constexpr std::int64_t kChunkTokens = testing::run_size(512, 96);

/// A golden input of which a sanitized build takes the first tokens: logits do not depend on what
/// follows, and the work grows with the square of the length.
GoldenInput read_beginning(const std::string& name) {
  GoldenInput input = read_golden(name);
  const std::size_t most = name == "long" ? 200 : 90;
  if (testing::kIsSanitized && input.ids.size() > most) {
    input.ids.resize(most);
    input.logits.resize(most * kGoldenVocab);
  }
  return input;
}

Session make_session(KvFormat format, std::int64_t chunk_tokens) {
  const auto model = Model::load(tiny_model_folder(), {.num_threads = 2, .on_progress = {}});
  return Session::create(model.value(), {.chunk_tokens = chunk_tokens, .kv_format = format})
      .value();
}

std::vector<float> prefill_all(Session& session, std::span<const std::int32_t> ids) {
  const SequenceTokens prompt{session.add_sequence(), ids};
  std::vector<float> logits;
  const Status status = session.prefill({&prompt, 1}, LogitsOf::kEveryToken, logits);
  EXPECT_TRUE(status.is_ok()) << status.message();
  return logits;
}

std::int32_t argmax(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

/// Decodes several prompts together, greedily; end-of-document does not stop it.
std::vector<std::vector<std::int32_t>> decode_greedily(Session& session,
                                                       std::span<const GoldenInput> inputs) {
  std::vector<SequenceTokens> prompts;
  std::vector<SequenceId> sequences;
  for (const GoldenInput& input : inputs) {
    sequences.push_back(session.add_sequence());
    prompts.push_back({sequences.back(), std::span(input.ids).first(static_cast<std::size_t>(
                                             input.greedy_prompt_length))});
  }
  std::vector<float> logits;
  throw_if_error(session.prefill(prompts, LogitsOf::kLastToken, logits));
  std::vector<std::vector<std::int32_t>> made(inputs.size());
  for (std::size_t token = 0; token < inputs[0].greedy_64.size(); ++token) {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      ids.push_back(argmax(std::span(logits).subspan(i * kGoldenVocab, kGoldenVocab)));
      made[i].push_back(ids.back());
    }
    throw_if_error(session.decode(sequences, ids, logits));
  }
  return made;
}

class GoldenInChunks : public ::testing::TestWithParam<std::tuple<const char*, std::int64_t>> {};

TEST_P(GoldenInChunks, Float32CacheGivesGoldenLogits) {
  const auto& [name, chunk_tokens] = GetParam();
  const GoldenInput input = read_beginning(name);
  Session session = make_session(KvFormat::kFloat32, chunk_tokens);
  const auto agreement = compare_logits(prefill_all(session, input.ids), input.logits);
  EXPECT_LT(agreement.max_error, kLargestLogitError);
  EXPECT_EQ(agreement.argmax_share, 1.0);
  RecordProperty("max_error", std::to_string(agreement.max_error));
}

INSTANTIATE_TEST_SUITE_P(Inputs, GoldenInChunks,
                         ::testing::Combine(::testing::Values("short", "medium", "long"),
                                            ::testing::Values(1, 7, 64, kChunkTokens)),
                         [](const auto& instance) {
                           return std::string(std::get<0>(instance.param)) + "_by_" +
                                  std::to_string(std::get<1>(instance.param));
                         });

class Golden : public ::testing::TestWithParam<const char*> {};

/// The last token by decode instead of prefill.
TEST_P(Golden, DecodeGivesGoldenLogits) {
  const GoldenInput input = read_beginning(GetParam());
  Session session = make_session(KvFormat::kFloat32, kChunkTokens);
  const std::size_t num_prefilled = input.ids.size() - 16;
  const SequenceId sequence = session.add_sequence();
  const SequenceTokens prompt{sequence, std::span(input.ids).first(num_prefilled)};
  std::vector<float> logits;
  throw_if_error(session.prefill({&prompt, 1}, LogitsOf::kLastToken, logits));
  for (std::size_t i = num_prefilled; i < input.ids.size(); ++i) {
    throw_if_error(session.decode({&sequence, 1}, {&input.ids[i], 1}, logits));
    const auto golden = std::span(input.logits).subspan(i * kGoldenVocab, kGoldenVocab);
    const auto agreement = compare_logits(logits, golden);
    EXPECT_LT(agreement.max_error, kLargestLogitError) << "at token " << i;
    EXPECT_EQ(agreement.argmax_share, 1.0) << "at token " << i;
  }
}

TEST_P(Golden, GreedyDecodingGivesGoldenTokens) {
  const std::array inputs{read_golden(GetParam())};
  Session session = make_session(KvFormat::kFloat32, kChunkTokens);
  EXPECT_EQ(decode_greedily(session, inputs)[0], inputs[0].greedy_64);
}

TEST_P(Golden, SixteenBitCachesStayClose) {
  const GoldenInput input = read_beginning(GetParam());
  for (const KvFormat format : {KvFormat::kBFloat16, KvFormat::kFloat16}) {
    Session session = make_session(format, kChunkTokens);
    const auto agreement = compare_logits(prefill_all(session, input.ids), input.logits);
    EXPECT_GE(agreement.argmax_share, 0.98) << to_string(format);
    EXPECT_LT(agreement.mean_divergence, 1e-2) << to_string(format);
    EXPECT_GT(agreement.max_error, 0.0) << "the cache was not rounded to " << to_string(format);
  }
}

INSTANTIATE_TEST_SUITE_P(Inputs, Golden, ::testing::Values("short", "medium", "long"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(GoldenTogether, TwoRequestsGiveWhatEachGivesAlone) {
  for (const auto& [first, second] : {std::pair("short", "medium"), std::pair("long", "short")}) {
    const std::array inputs{read_golden(first), read_golden(second)};
    Session session = make_session(KvFormat::kFloat32, 64);
    const auto made = decode_greedily(session, inputs);
    EXPECT_EQ(made[0], inputs[0].greedy_64) << first << " beside " << second;
    EXPECT_EQ(made[1], inputs[1].greedy_64) << second << " beside " << first;
  }
}

TEST(GoldenTogether, RaggedPrefillGivesGoldenLogits) {
  const std::array inputs{read_beginning("medium"), read_beginning("short")};
  Session session = make_session(KvFormat::kFloat32, kChunkTokens);
  const std::array prompts{SequenceTokens{session.add_sequence(), inputs[0].ids},
                           SequenceTokens{session.add_sequence(), inputs[1].ids}};
  std::vector<float> logits;
  throw_if_error(session.prefill(prompts, LogitsOf::kEveryToken, logits));
  const auto both = std::span(logits);
  const std::size_t split = inputs[0].logits.size();
  EXPECT_LT(compare_logits(both.first(split), inputs[0].logits).max_error, kLargestLogitError);
  EXPECT_LT(compare_logits(both.subspan(split), inputs[1].logits).max_error, kLargestLogitError);
}

}  // namespace
}  // namespace seesaw::model
