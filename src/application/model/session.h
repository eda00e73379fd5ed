// Sequences of tokens being computed with one model over one paged latent cache.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "seesaw/page_allocator.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

struct SessionOptions {
  std::int64_t cache_tokens = 0;    // of all sequences together, rounded up to whole pages;
                                    // 0: the model's max_position_embeddings
  std::int64_t page_size = 64;      // tokens
  std::int64_t chunk_tokens = 512;  // most tokens that prefill computes at once
  KvFormat kv_format = KvFormat::kBFloat16;  // float32, bfloat16 or float16
};

enum class LogitsOf : std::uint8_t { kLastToken, kEveryToken };

/// New tokens of one sequence.
struct SequenceTokens {
  SequenceId sequence = 0;
  std::span<const std::int32_t> ids;
};

/// Not thread-safe: one caller at a time. Every failing call leaves sequences and cache as they
/// were (the cache's slots behind the sequences' ends aside).
class Session {
 public:
  /// Errors: kInvalidArgument (an option out of range, for example a cache larger than the
  /// memory), kUnsupported (no attention kernel here serves the model's shape).
  static Result<Session> create(const Model& model, const SessionOptions& options = {});

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// A new empty sequence.
  SequenceId add_sequence();
  /// Gives its pages back. Errors: kInvalidArgument (unknown sequence).
  Status remove_sequence(SequenceId sequence);
  /// Tokens in the cache; -1 for an unknown sequence.
  std::int64_t num_tokens(SequenceId sequence) const noexcept;
  /// Most tokens that one sequence can reach when it has the cache for itself.
  std::int64_t max_sequence_tokens() const noexcept;

  /// Whether prefill would take the batch; computes and changes nothing. Errors as of prefill.
  Status check_prefill(std::span<const SequenceTokens> batch) const;

  /// Appends tokens to each sequence, at most chunk_tokens at a time, several sequences together
  /// where they are short. logits becomes [rows, vocab_size], sequence after sequence: one row for
  /// the last token of each (kLastToken) or one row a token (kEveryToken).
  /// Errors: kInvalidArgument (an id outside the vocabulary, with its position; an empty, unknown
  /// or repeated sequence; more tokens than max_position_embeddings), kOutOfPages (more tokens
  /// than the cache holds).
  Status prefill(std::span<const SequenceTokens> batch, LogitsOf logits_of,
                 std::vector<float>& logits);

  /// Appends ids[i] to sequences[i]; logits becomes [sequences, vocab_size]. Errors as of prefill.
  Status decode(std::span<const SequenceId> sequences, std::span<const std::int32_t> ids,
                std::vector<float>& logits);

  const Model& model() const noexcept;
  const SessionOptions& options() const noexcept;
  /// Bytes reserved for the cache of all layers.
  std::int64_t cache_bytes() const noexcept;
  /// The attention kernel of the decode plan last used, or else of the prefill plan; empty before
  /// there is one.
  std::string kernel_name() const;
  /// seesaw::explain of the decode plan last used; empty before the first decode.
  std::string explain_decode() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace seesaw::model
