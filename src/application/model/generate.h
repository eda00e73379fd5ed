// The generation loop: prefill, then one token after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/sampler.h"
#include "model/session.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

enum class StopReason : std::uint8_t {
  kEos,        // the model ended the text
  kMaxTokens,  // max_new_tokens were made
  kCacheFull,  // the cache or the model's positions hold no more
  kCaller,     // on_token or on_prefill returned kStop
};

constexpr const char* to_string(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::kEos:
      return "eos";
    case StopReason::kMaxTokens:
      return "max_new_tokens";
    case StopReason::kCacheFull:
      return "cache_full";
    case StopReason::kCaller:
      return "stopped";
  }
  return "unknown";
}

enum class Continue : std::uint8_t { kYes, kStop };

struct GenerateOptions {
  std::int64_t max_new_tokens = 64;
  SamplingOptions sampling = {};
  bool stops_at_eos = true;  // at any of the model's eos_ids; the eos token itself is reported
  /// Called after each chunk of the prompt, if given; may stop the generation.
  std::function<Continue(std::int64_t num_done, std::int64_t num_prompt_tokens)> on_prefill = {};
};

struct Generation {
  std::vector<std::int32_t> ids;  // the new tokens, eos included
  StopReason reason = StopReason::kMaxTokens;
  std::int64_t num_prompt_tokens = 0;
  double prefill_seconds = 0.0;
  double first_token_seconds = 0.0;  // from the call to the first token
  double decode_seconds = 0.0;       // from the first token to the last

  /// Tokens after the first per second of decoding; 0 where there are none.
  double decode_tokens_per_second() const noexcept;
};

/// Completes one prompt in a sequence of its own, which is removed at the end. on_token is called
/// with every new token as soon as it is known and may stop the generation (Ctrl-C).
/// Errors: those of Session::prefill and Sampler; kInvalidArgument (max_new_tokens < 0, empty
/// prompt).
Result<Generation> generate(Session& session, std::span<const std::int32_t> prompt_ids,
                            const GenerateOptions& options,
                            const std::function<Continue(std::int32_t id)>& on_token);

}  // namespace seesaw::model
