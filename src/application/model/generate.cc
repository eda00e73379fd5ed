#include "model/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

namespace seesaw::model {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A sequence that is removed with its scope.
class ScopedSequence {
 public:
  explicit ScopedSequence(Session& session) : session_(session), id_(session.add_sequence()) {}
  ScopedSequence(const ScopedSequence&) = delete;
  ScopedSequence& operator=(const ScopedSequence&) = delete;
  ~ScopedSequence() { static_cast<void>(session_.remove_sequence(id_)); }

  SequenceId id() const noexcept { return id_; }

 private:
  Session& session_;
  SequenceId id_;
};

bool is_eos(const Config& config, std::int32_t id) {
  return std::ranges::find(config.eos_ids, id) != config.eos_ids.end();
}

/// Why generation ends after the token that was just reported, if it does.
std::optional<StopReason> find_stop(const Session& session, const GenerateOptions& options,
                                    const Generation& generation, Continue answer) {
  if (options.stops_at_eos && is_eos(session.model().config(), generation.ids.back())) {
    return StopReason::kEos;
  }
  if (answer == Continue::kStop) return StopReason::kCaller;
  const auto num_new = static_cast<std::int64_t>(generation.ids.size());
  if (num_new >= options.max_new_tokens) return StopReason::kMaxTokens;
  if (generation.num_prompt_tokens + num_new > session.max_sequence_tokens()) {
    return StopReason::kCacheFull;
  }
  return std::nullopt;
}

/// Computes the prompt chunk by chunk; logits become those of its last token.
Result<Continue> prefill_prompt(Session& session, SequenceId sequence,
                                std::span<const std::int32_t> ids, const GenerateOptions& options,
                                std::vector<float>& logits) {
  const SequenceTokens whole{sequence, ids};
  if (Status status = session.check_prefill({&whole, 1}); !status) return status;
  const auto chunk_tokens = static_cast<std::size_t>(session.options().chunk_tokens);
  for (std::size_t done = 0; done < ids.size();) {
    const SequenceTokens chunk{sequence,
                               ids.subspan(done, std::min(chunk_tokens, ids.size() - done))};
    const Status status = session.prefill({&chunk, 1}, LogitsOf::kLastToken, logits);
    if (!status) return status;
    done += chunk.ids.size();
    if (options.on_prefill &&
        options.on_prefill(static_cast<std::int64_t>(done),
                           static_cast<std::int64_t>(ids.size())) == Continue::kStop) {
      return Continue::kStop;
    }
  }
  return Continue::kYes;
}

}  // namespace

double Generation::decode_tokens_per_second() const noexcept {
  if (ids.size() < 2 || decode_seconds <= 0.0) return 0.0;
  return static_cast<double>(ids.size() - 1) / decode_seconds;
}

Result<Generation> generate(Session& session, std::span<const std::int32_t> prompt_ids,
                            const GenerateOptions& options,
                            const std::function<Continue(std::int32_t id)>& on_token) {
  if (options.max_new_tokens < 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("max_new_tokens: is {}, must be >= 0", options.max_new_tokens));
  }
  auto sampler = Sampler::create(options.sampling);
  if (!sampler) return sampler.status();
  const auto start = Clock::now();
  const ScopedSequence sequence(session);
  std::vector<float> logits;
  const auto answer = prefill_prompt(session, sequence.id(), prompt_ids, options, logits);
  if (!answer) return answer.status();
  Generation generation;
  generation.num_prompt_tokens = static_cast<std::int64_t>(prompt_ids.size());
  generation.prefill_seconds = seconds_since(start);
  if (answer.value() == Continue::kStop) {
    generation.reason = StopReason::kCaller;
    return generation;
  }
  if (options.max_new_tokens == 0) return generation;
  auto decode_start = start;
  while (true) {
    const auto id = sampler.value().next(logits);
    if (!id) return id.status();
    generation.ids.push_back(id.value());
    if (generation.ids.size() == 1) {
      generation.first_token_seconds = seconds_since(start);
      decode_start = Clock::now();
    } else {
      generation.decode_seconds = seconds_since(decode_start);
    }
    const auto stop = find_stop(session, options, generation, on_token(id.value()));
    if (stop) {
      generation.reason = *stop;
      return generation;
    }
    const std::array sequences{sequence.id()};
    const std::array ids{id.value()};
    const Status status = session.decode(sequences, ids, logits);
    if (status.code() == StatusCode::kOutOfPages) {  // other sequences took the rest
      generation.reason = StopReason::kCacheFull;
      return generation;
    }
    if (!status) return status;
  }
}

}  // namespace seesaw::model
