#include "model/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/forward.h"
#include "model/latent_cache.h"
#include "model/step.h"

namespace seesaw::model {
namespace {

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

/// Room for new tokens, given back unless it is kept.
class Reservation {
 public:
  explicit Reservation(PageAllocator& allocator) : allocator_(allocator) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    // Cannot fail: the sequences are known and their starts lie within them.
    for (const auto& [sequence, start] : starts_) {
      static_cast<void>(allocator_.truncate(sequence, start));
    }
  }

  Status add(SequenceId sequence, std::int64_t num_tokens) {
    const std::int64_t start = allocator_.num_tokens(sequence);
    starts_.reserve(starts_.size() + 1);  // so that nothing can throw once the pages are taken
    if (Status status = allocator_.extend(sequence, num_tokens, copies_); !status) return status;
    starts_.emplace_back(sequence, start);
    return Status::ok();
  }

  std::int64_t start(std::size_t idx) const { return starts_[idx].second; }
  void keep() { starts_.clear(); }

 private:
  PageAllocator& allocator_;
  std::vector<std::pair<SequenceId, std::int64_t>> starts_;
  std::vector<PageCopy> copies_;  // stays empty: sessions never share pages
};

/// Tokens that go through the model in one step: pieces of consecutive requests.
struct Chunk {
  struct Part {
    std::size_t request_idx = 0;
    std::size_t begin = 0;  // first token, of the request's
    std::size_t count = 0;
    std::size_t step_begin = 0;  // first token, of the step's
  };
  std::vector<Part> parts;
};

/// Cuts requests, one after the other, into chunks of at most chunk_tokens.
class ChunkCursor {
 public:
  ChunkCursor(std::span<const SequenceTokens> batch, std::int64_t chunk_tokens)
      : batch_(batch), chunk_tokens_(static_cast<std::size_t>(chunk_tokens)) {}

  /// False where no token is left.
  bool next(Chunk& chunk) {
    chunk.parts.clear();
    std::size_t num_tokens = 0;
    while (num_tokens < chunk_tokens_ && request_idx_ < batch_.size()) {
      const std::size_t left = batch_[request_idx_].ids.size() - done_;
      const std::size_t count = std::min(chunk_tokens_ - num_tokens, left);
      chunk.parts.push_back({request_idx_, done_, count, num_tokens});
      num_tokens += count;
      done_ += count;
      if (count == left) {
        ++request_idx_;
        done_ = 0;
      }
    }
    return num_tokens > 0;
  }

 private:
  std::span<const SequenceTokens> batch_;
  std::size_t chunk_tokens_;
  std::size_t request_idx_ = 0;
  std::size_t done_ = 0;  // tokens of that request
};

}  // namespace

struct Session::State {
  State(const Model& of_model, const SessionOptions& of_session, LatentCache of_cache)
      : model(of_model),
        options(of_session),
        cache(std::move(of_cache)),
        forward(model.config(), model.weights(), model.device(), model.executor()) {}

  Status check(std::span<const SequenceTokens> batch) const;
  Status check_room(std::span<const SequenceTokens> batch) const;
  Status check_ids(std::size_t request_idx, std::span<const std::int32_t> ids) const;
  Status reserve(std::span<const SequenceTokens> batch, Reservation& reservation);
  Status prefill(std::span<const SequenceTokens> batch, const Reservation& reservation,
                 LogitsOf logits_of, float* logits);
  Status decode(std::span<const SequenceTokens> batch, const Reservation& reservation,
                float* logits);

  Model model;
  SessionOptions options;
  LatentCache cache;
  Forward forward;
  Step step;
  std::vector<StepPiece> pieces;     // of the step
  std::vector<std::int64_t> wanted;  // tokens of the step whose logits are asked for
};

Status Session::State::check_ids(std::size_t request_idx, std::span<const std::int32_t> ids) const {
  const std::int64_t vocab_size = model.config().vocab_size;
  const auto outside =
      std::ranges::find_if(ids, [&](std::int32_t id) { return id < 0 || id >= vocab_size; });
  if (outside == ids.end()) return Status::ok();
  return invalid(fmt::format("batch[{}].ids[{}]: is {}, must be from 0 to vocab_size - 1 = {}",
                             request_idx, outside - ids.begin(), *outside, vocab_size - 1));
}

Status Session::State::check(std::span<const SequenceTokens> batch) const {
  std::vector<SequenceId> seen;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto& [sequence, ids] = batch[i];
    const std::int64_t present = cache.allocator().num_tokens(sequence);
    if (present < 0) {
      return invalid(
          fmt::format("batch[{}].sequence: {} is not a sequence of this session", i, sequence));
    }
    if (ids.empty()) return invalid(fmt::format("batch[{}].ids: must not be empty", i));
    const auto added = static_cast<std::int64_t>(ids.size());
    if (added > model.config().max_positions - present) {
      return invalid(
          fmt::format("batch[{}].ids: {} tokens behind {} of the sequence, must be together <= "
                      "max_position_embeddings = {}",
                      i, added, present, model.config().max_positions));
    }
    if (Status status = check_ids(i, ids); !status) return status;
    seen.push_back(sequence);
  }
  std::ranges::sort(seen);
  const auto repeated = std::ranges::adjacent_find(seen);
  if (repeated == seen.end()) return check_room(batch);
  return invalid(fmt::format("batch: sequence {} stands in it twice", *repeated));
}

Status Session::State::check_room(std::span<const SequenceTokens> batch) const {
  const PageAllocator& allocator = cache.allocator();
  std::int64_t num_free = allocator.num_free_pages();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto& [sequence, ids] = batch[i];
    const auto needed =
        allocator.num_pages_to_extend(sequence, static_cast<std::int64_t>(ids.size()));
    if (!needed) return needed.status();
    if (needed.value() > num_free) {
      return {StatusCode::kOutOfPages,
              fmt::format("batch[{}].ids: {} tokens behind {} of the sequence do not fit the "
                          "cache: {} of its {} pages of {} tokens are free (cache_tokens = {})",
                          i, ids.size(), allocator.num_tokens(sequence), num_free,
                          allocator.num_pages(), allocator.page_size(), options.cache_tokens)};
    }
    num_free -= needed.value();
  }
  return Status::ok();
}

Status Session::State::reserve(std::span<const SequenceTokens> batch, Reservation& reservation) {
  for (const auto& [sequence, ids] : batch) {
    Status status = reservation.add(sequence, static_cast<std::int64_t>(ids.size()));
    if (!status) return status;
  }
  return Status::ok();
}

Status Session::State::prefill(std::span<const SequenceTokens> batch,
                               const Reservation& reservation, LogitsOf logits_of, float* logits) {
  ChunkCursor cursor(batch, options.chunk_tokens);
  Chunk chunk;
  while (cursor.next(chunk)) {
    pieces.clear();
    wanted.clear();
    for (const Chunk::Part& part : chunk.parts) {
      const auto& [sequence, ids] = batch[part.request_idx];
      const auto begin = static_cast<std::int64_t>(part.begin);
      pieces.push_back({ids.subspan(part.begin, part.count),
                        reservation.start(part.request_idx) + begin,
                        cache.allocator().pages(sequence)});
      const bool is_last = part.begin + part.count == ids.size();
      const std::size_t end = part.step_begin + part.count;
      const std::size_t first =
          logits_of == LogitsOf::kEveryToken ? part.step_begin : end - (is_last ? 1 : 0);
      for (std::size_t token = first; token < end; ++token) {
        wanted.push_back(static_cast<std::int64_t>(token));
      }
    }
    build_step(Phase::kPrefill, pieces, options.page_size, step);
    if (Status status = forward.run(step, cache); !status) return status;
    forward.compute_logits(wanted, logits);
    logits += static_cast<std::int64_t>(wanted.size()) * model.config().vocab_size;
  }
  return Status::ok();
}

Status Session::State::decode(std::span<const SequenceTokens> batch, const Reservation& reservation,
                              float* logits) {
  pieces.clear();
  wanted.clear();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    pieces.push_back(
        {batch[i].ids, reservation.start(i), cache.allocator().pages(batch[i].sequence)});
    wanted.push_back(static_cast<std::int64_t>(i));
  }
  build_step(Phase::kDecode, pieces, options.page_size, step);
  if (Status status = forward.run(step, cache); !status) return status;
  forward.compute_logits(wanted, logits);
  return Status::ok();
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::create(const Model& model, const SessionOptions& options) {
  SessionOptions resolved = options;
  if (resolved.cache_tokens == 0) resolved.cache_tokens = model.config().max_positions;
  constexpr std::int64_t kMaxChunk = 65'536;
  if (resolved.chunk_tokens < 1 || resolved.chunk_tokens > kMaxChunk) {
    return invalid(
        fmt::format("chunk_tokens: is {}, must be from 1 to {}", resolved.chunk_tokens, kMaxChunk));
  }
  auto cache = LatentCache::create(model.config(), {.num_tokens = resolved.cache_tokens,
                                                    .page_size = resolved.page_size,
                                                    .format = resolved.kv_format,
                                                    .memory_bytes = model.device().memory_bytes});
  if (!cache) return cache.status();
  auto state = std::make_unique<State>(model, resolved, std::move(cache).value());
  const Status served = state->forward.attention().check(resolved.kv_format, resolved.page_size);
  if (!served) return served;
  return Session(std::move(state));
}

SequenceId Session::add_sequence() { return state_->cache.allocator().create(); }

Status Session::remove_sequence(SequenceId sequence) {
  return state_->cache.allocator().free(sequence);
}

std::int64_t Session::num_tokens(SequenceId sequence) const noexcept {
  return state_->cache.allocator().num_tokens(sequence);
}

std::int64_t Session::max_sequence_tokens() const noexcept {
  const PageAllocator& allocator = state_->cache.allocator();
  return std::min(state_->model.config().max_positions,
                  std::int64_t{allocator.num_pages()} * allocator.page_size());
}

Status Session::check_prefill(std::span<const SequenceTokens> batch) const {
  return state_->check(batch);
}

Status Session::prefill(std::span<const SequenceTokens> batch, LogitsOf logits_of,
                        std::vector<float>& logits) {
  if (Status status = state_->check(batch); !status) return status;
  std::size_t num_rows = batch.size();
  if (logits_of == LogitsOf::kEveryToken) {
    num_rows = 0;
    for (const SequenceTokens& request : batch) num_rows += request.ids.size();
  }
  logits.resize(num_rows * static_cast<std::size_t>(model().config().vocab_size));
  Reservation reservation(state_->cache.allocator());
  if (Status status = state_->reserve(batch, reservation); !status) return status;
  Status status = state_->prefill(batch, reservation, logits_of, logits.data());
  if (status) reservation.keep();
  return status;
}

Status Session::decode(std::span<const SequenceId> sequences, std::span<const std::int32_t> ids,
                       std::vector<float>& logits) {
  if (ids.size() != sequences.size()) {
    return invalid(fmt::format("ids: has {} elements, must have {}, one for each sequence",
                               ids.size(), sequences.size()));
  }
  std::vector<SequenceTokens> batch;
  for (std::size_t i = 0; i < ids.size(); ++i) batch.push_back({sequences[i], ids.subspan(i, 1)});
  if (Status status = state_->check(batch); !status) return status;
  logits.resize(batch.size() * static_cast<std::size_t>(model().config().vocab_size));
  if (batch.empty()) return Status::ok();
  Reservation reservation(state_->cache.allocator());
  if (Status status = state_->reserve(batch, reservation); !status) return status;
  Status status = state_->decode(batch, reservation, logits.data());
  if (status) reservation.keep();
  return status;
}

const Model& Session::model() const noexcept { return state_->model; }
const SessionOptions& Session::options() const noexcept { return state_->options; }
std::int64_t Session::cache_bytes() const noexcept { return state_->cache.bytes(); }

std::string Session::kernel_name() const { return state_->forward.attention().kernel_name(); }

std::string Session::explain_decode() const { return state_->forward.attention().explain_decode(); }

}  // namespace seesaw::model
