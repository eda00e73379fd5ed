// Sequences, their bookkeeping and their errors, on a small random model.
#include "model/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "application/model/random_model.h"
#include "application/model/temp_folder.h"
#include "model/generate.h"
#include "support/seed.h"

namespace seesaw::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t kVocab = 61;
constexpr std::int64_t kPositions = 40;

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() : rng_(testing::make_rng()), model_(load()) {}

  Model load() {
    const TempFolder folder;
    const ModelSpec spec{.name = "model",
                         .is_v3 = true,
                         .layers = 2,
                         .max_positions = kPositions,
                         .routing = Routing::kNoAuxTc,
                         .dtype = DType::kFloat32};
    write_model(folder.path(), spec, make_weights(spec, rng_));
    const auto on_progress = [&](std::int64_t num_done, std::int64_t num_layers) {
      EXPECT_EQ(num_layers, 2);
      loaded_layers_.push_back(num_done);
    };
    // The mapping outlives the file.
    return Model::load(folder.path(), {.num_threads = 2, .on_progress = on_progress}).value();
  }

  Session make_session(const SessionOptions& options) {
    return Session::create(model_, options).value();
  }

  std::vector<std::int32_t> random_ids(std::size_t count) {
    std::vector<std::int32_t> ids(count);
    for (auto& id : ids) id = static_cast<std::int32_t>(testing::uniform(rng_, 0, kVocab - 1));
    return ids;
  }

  static std::vector<float> prefill(Session& session, SequenceId sequence,
                                    const std::vector<std::int32_t>& ids) {
    const SequenceTokens tokens{sequence, ids};
    std::vector<float> logits;
    throw_if_error(session.prefill({&tokens, 1}, LogitsOf::kLastToken, logits));
    return logits;
  }

  static std::string prefill_error(Session& session, SequenceId sequence,
                                   const std::vector<std::int32_t>& ids) {
    const SequenceTokens tokens{sequence, ids};
    std::vector<float> logits;
    return session.prefill({&tokens, 1}, LogitsOf::kLastToken, logits).message();
  }

  testing::Rng rng_;
  std::vector<std::int64_t> loaded_layers_;
  Model model_;
};

void expect_close(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << i;
}

TEST_F(SessionTest, SameTokensInAnyPiecesGiveTheSameLogits) {
  const auto ids = random_ids(30);
  Session session =
      make_session({.cache_tokens = 80, .page_size = 4, .kv_format = KvFormat::kFloat32});
  const auto expected = prefill(session, session.add_sequence(), ids);
  for (int round = 0; round < 10; ++round) {
    const SequenceId sequence = session.add_sequence();
    std::vector<float> logits;
    std::size_t done = 0;
    while (done < ids.size()) {
      const auto count = static_cast<std::size_t>(
          testing::uniform(rng_, 1, static_cast<std::int64_t>(ids.size() - done)));
      if (count == 1) {
        throw_if_error(session.decode({&sequence, 1}, {&ids[done], 1}, logits));
      } else {
        const auto from = ids.begin() + static_cast<std::ptrdiff_t>(done);
        logits = prefill(session, sequence, {from, from + static_cast<std::ptrdiff_t>(count)});
      }
      done += count;
      EXPECT_EQ(session.num_tokens(sequence), static_cast<std::int64_t>(done));
    }
    expect_close(logits, expected);
    throw_if_error(session.remove_sequence(sequence));
  }
}

/// Pages that another sequence left are reused, and what it left in them is never read.
TEST_F(SessionTest, RemovedSequencesLeaveNoTrace) {
  const auto ids = random_ids(19);
  Session fresh = make_session({.cache_tokens = 40, .page_size = 4});
  const auto expected = prefill(fresh, fresh.add_sequence(), ids);
  Session used = make_session({.cache_tokens = 40, .page_size = 4});
  const SequenceId old = used.add_sequence();
  prefill(used, old, random_ids(40));
  throw_if_error(used.remove_sequence(old));
  EXPECT_EQ(prefill(used, used.add_sequence(), ids), expected);
}

TEST_F(SessionTest, RaggedBatchesGiveWhatEachSequenceGivesAlone) {
  Session session = make_session(
      {.cache_tokens = 400, .page_size = 4, .chunk_tokens = 11, .kv_format = KvFormat::kFloat32});
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<SequenceTokens> batch;
  for (int i = 0; i < 6; ++i) {
    prompts.push_back(random_ids(static_cast<std::size_t>(testing::uniform(rng_, 1, 25))));
  }
  for (const auto& ids : prompts) batch.push_back({session.add_sequence(), ids});
  std::vector<float> logits;
  throw_if_error(session.prefill(batch, LogitsOf::kLastToken, logits));
  ASSERT_EQ(logits.size(), prompts.size() * kVocab);
  std::vector<SequenceId> sequences;
  std::vector<std::int32_t> next;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Session alone = make_session({.kv_format = KvFormat::kFloat32});
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * kVocab);
    expect_close({row, row + kVocab}, prefill(alone, alone.add_sequence(), prompts[i]));
    sequences.push_back(batch[i].sequence);
    next.push_back(random_ids(1)[0]);
    prompts[i].push_back(next[i]);
  }
  throw_if_error(session.decode(sequences, next, logits));
  ASSERT_EQ(logits.size(), prompts.size() * kVocab);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Session alone = make_session({.kv_format = KvFormat::kFloat32});
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * kVocab);
    expect_close({row, row + kVocab}, prefill(alone, alone.add_sequence(), prompts[i]));
  }
}

TEST_F(SessionTest, LoadingReportsEachLayer) {
  EXPECT_THAT(loaded_layers_, ::testing::ElementsAre(1, 2));
}

TEST_F(SessionTest, EmptyBatchesAreNoOps) {
  Session session = make_session({});
  std::vector<float> logits{1.0f};
  EXPECT_TRUE(session.prefill({}, LogitsOf::kLastToken, logits).is_ok());
  EXPECT_TRUE(logits.empty());
  EXPECT_TRUE(session.decode({}, {}, logits).is_ok());
}

TEST_F(SessionTest, IdsOutsideTheVocabulary) {
  Session session = make_session({});
  const SequenceId sequence = session.add_sequence();
  for (const std::int32_t id : {-1, 61, 258, std::numeric_limits<std::int32_t>::min(),
                                std::numeric_limits<std::int32_t>::max()}) {
    EXPECT_THAT(
        prefill_error(session, sequence, {0, 60, id}),
        HasSubstr("ids[2]: is " + std::to_string(id) + ", must be from 0 to vocab_size - 1 = 60"));
    std::vector<float> logits;
    EXPECT_EQ(session.decode({&sequence, 1}, {&id, 1}, logits).code(),
              StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(session.num_tokens(sequence), 0);
}

TEST_F(SessionTest, MoreTokensThanPositions) {
  Session session = make_session({.cache_tokens = 400});
  const SequenceId sequence = session.add_sequence();
  EXPECT_THAT(prefill_error(session, sequence, random_ids(kPositions + 1)),
              AllOf(HasSubstr("41 tokens behind 0"), HasSubstr("max_position_embeddings = 40")));
  prefill(session, sequence, random_ids(kPositions));
  std::vector<float> logits;
  const std::int32_t id = 0;
  EXPECT_THAT(session.decode({&sequence, 1}, {&id, 1}, logits).message(),
              HasSubstr("1 tokens behind 40"));
  EXPECT_EQ(session.num_tokens(sequence), kPositions);
}

TEST_F(SessionTest, MoreTokensThanTheCacheHolds) {
  Session session = make_session({.cache_tokens = 24, .page_size = 8});
  const SequenceId first = session.add_sequence();
  const SequenceId second = session.add_sequence();
  EXPECT_EQ(session.max_sequence_tokens(), 24);
  EXPECT_THAT(prefill_error(session, first, random_ids(25)),
              AllOf(HasSubstr("25 tokens behind 0"), HasSubstr("3 of its 3 pages of 8 tokens")));
  // The second of two does not fit: the first must not have grown either.
  const auto a = random_ids(16);
  const auto b = random_ids(9);
  const std::vector<SequenceTokens> both{{first, a}, {second, b}};
  std::vector<float> logits;
  const Status status = session.prefill(both, LogitsOf::kLastToken, logits);
  EXPECT_EQ(status.code(), StatusCode::kOutOfPages);
  EXPECT_THAT(status.message(), HasSubstr("batch[1].ids: 9 tokens"));
  EXPECT_EQ(session.num_tokens(first), 0);
  EXPECT_EQ(session.num_tokens(second), 0);
  prefill(session, first, random_ids(24));  // every page is still there
}

TEST_F(SessionTest, UnknownRepeatedAndEmptySequences) {
  Session session = make_session({});
  const SequenceId sequence = session.add_sequence();
  const auto ids = random_ids(2);
  EXPECT_THAT(prefill_error(session, sequence + 7, ids), HasSubstr("is not a sequence"));
  EXPECT_THAT(prefill_error(session, sequence, {}), HasSubstr("batch[0].ids: must not be empty"));
  const std::vector<SequenceTokens> twice{{sequence, ids}, {sequence, ids}};
  std::vector<float> logits;
  EXPECT_THAT(session.prefill(twice, LogitsOf::kLastToken, logits).message(), HasSubstr("twice"));
  EXPECT_THAT(session.decode({&sequence, 1}, ids, logits).message(),
              HasSubstr("ids: has 2 elements, must have 1"));
  throw_if_error(session.remove_sequence(sequence));
  EXPECT_THAT(prefill_error(session, sequence, ids), HasSubstr("is not a sequence"));
  EXPECT_FALSE(session.remove_sequence(sequence).is_ok());
  EXPECT_EQ(session.num_tokens(sequence), -1);
}

TEST_F(SessionTest, CheckPrefillTellsWhatPrefillWould) {
  Session session = make_session({.cache_tokens = 16, .page_size = 8});
  const SequenceId sequence = session.add_sequence();
  for (const std::size_t count : {0u, 1u, 16u, 17u, 41u}) {
    const auto ids = random_ids(count);
    const SequenceTokens tokens{sequence, ids};
    const Status status = session.check_prefill({&tokens, 1});
    EXPECT_EQ(session.num_tokens(sequence), 0);
    if (!status) {
      EXPECT_EQ(prefill_error(session, sequence, ids), status.message());
    }
    EXPECT_EQ(status.is_ok(), count == 1 || count == 16);
  }
}

TEST_F(SessionTest, NamesTheKernelOnceThereIsOne) {
  Session session = make_session({});
  EXPECT_EQ(session.kernel_name(), "");
  EXPECT_EQ(session.explain_decode(), "");
  const SequenceId sequence = session.add_sequence();
  prefill(session, sequence, random_ids(3));
  EXPECT_NE(session.kernel_name(), "");
  std::vector<float> logits;
  const std::int32_t id = 1;
  throw_if_error(session.decode({&sequence, 1}, {&id, 1}, logits));
  EXPECT_THAT(session.explain_decode(), HasSubstr(session.kernel_name()));
}

TEST_F(SessionTest, OptionsOutOfRange) {
  const auto error = [&](const SessionOptions& options) {
    return Session::create(model_, options).status().message();
  };
  EXPECT_THAT(error({.cache_tokens = -1}), HasSubstr("cache_tokens: is -1"));
  EXPECT_THAT(error({.cache_tokens = std::numeric_limits<std::int64_t>::max()}),
              HasSubstr("cache_tokens: is 9223372036854775807"));
  EXPECT_THAT(error({.cache_tokens = std::int64_t{1} << 31, .page_size = 1}),
              HasSubstr("cache_tokens: is 2147483648"));
  EXPECT_THAT(error({.page_size = 0}), HasSubstr("page_size: is 0"));
  EXPECT_THAT(error({.chunk_tokens = 0}), HasSubstr("chunk_tokens: is 0"));
  EXPECT_THAT(error({.kv_format = KvFormat::kFp8V32}), HasSubstr("kv_format: is fp8_v32"));
  EXPECT_THAT(Model::load("x", {.num_threads = -1}).status().message(),
              HasSubstr("num_threads: is -1"));
}

TEST_F(SessionTest, CacheCostCountsLatentAgainstHeads) {
  const CacheCost cost = model_.cache_cost(KvFormat::kBFloat16);
  EXPECT_EQ(cost.latent_bytes, 2 * (32 + 16) * 2);                    // layers, width, bytes
  EXPECT_EQ(cost.plain_attention_bytes, 2 * 3 * (24 + 16 + 20) * 2);  // layers, heads, K + V, bytes
}

TEST_F(SessionTest, GenerationStopsForEachReason) {
  Session session = make_session({.cache_tokens = 16, .page_size = 8, .chunk_tokens = 2});
  const auto prompt = random_ids(5);
  const auto go_on = [](std::int32_t) { return Continue::kYes; };
  GenerateOptions options{.max_new_tokens = 4, .sampling = {}, .stops_at_eos = false};
  const auto four = generate(session, prompt, options, go_on).value();
  EXPECT_EQ(four.reason, StopReason::kMaxTokens);
  EXPECT_EQ(four.ids.size(), 4u);
  EXPECT_EQ(four.num_prompt_tokens, 5);
  EXPECT_GT(four.first_token_seconds, 0.0);
  options.max_new_tokens = 100;
  const auto full = generate(session, prompt, options, go_on).value();
  EXPECT_EQ(full.reason, StopReason::kCacheFull);
  EXPECT_EQ(full.ids.size(), 16 - 5 + 1u);  // the last one needs no place any more
  EXPECT_TRUE(std::equal(four.ids.begin(), four.ids.end(), full.ids.begin()));
  int seen = 0;
  const auto stopped = generate(session, prompt, options, [&](std::int32_t) {
                         return ++seen == 3 ? Continue::kStop : Continue::kYes;
                       }).value();
  EXPECT_EQ(stopped.reason, StopReason::kCaller);
  EXPECT_EQ(stopped.ids.size(), 3u);
  std::vector<std::int64_t> progress;
  options.on_prefill = [&](std::int64_t num_done, std::int64_t num_prompt_tokens) {
    EXPECT_EQ(num_prompt_tokens, 5);
    progress.push_back(num_done);
    return progress.size() == 2 ? Continue::kStop : Continue::kYes;
  };
  const auto early = generate(session, prompt, options, go_on).value();
  EXPECT_EQ(early.reason, StopReason::kCaller);
  EXPECT_TRUE(early.ids.empty());
  EXPECT_THAT(progress, ::testing::ElementsAre(2, 4));
  options.on_prefill = {};
  options.max_new_tokens = 0;
  EXPECT_TRUE(generate(session, prompt, options, go_on).value().ids.empty());
  options.max_new_tokens = -1;
  EXPECT_THAT(generate(session, prompt, options, go_on).status().message(),
              HasSubstr("max_new_tokens: is -1"));
  EXPECT_FALSE(generate(session, {}, {}, go_on).is_ok());
  // Every sequence is gone again: the whole cache is free.
  prefill(session, session.add_sequence(), random_ids(16));
}

TEST_F(SessionTest, GenerationEndsAtEos) {
  Session session = make_session({});
  const auto prompt = random_ids(3);
  GenerateOptions options{.max_new_tokens = 36,
                          .sampling = {.temperature = 5.0, .top_p = 1.0, .seed = 0}};
  const auto go_on = [](std::int32_t) { return Continue::kYes; };
  bool has_ended = false;
  for (options.sampling.seed = 0; options.sampling.seed < 100 && !has_ended;
       ++options.sampling.seed) {
    const auto made = generate(session, prompt, options, go_on).value();
    has_ended = made.reason == StopReason::kEos;
    if (has_ended) {
      EXPECT_EQ(made.ids.back(), kVocab - 1);
    }
    EXPECT_EQ(std::count(made.ids.begin(), made.ids.end(), kVocab - 1), has_ended ? 1 : 0);
  }
  EXPECT_TRUE(has_ended) << "no text of 100 ended";
}

}  // namespace
}  // namespace seesaw::model
