// `seesaw logits`: token ids in, logits after every token out.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <vector>

#include "cli/commands.h"
#include "cli/input_ids.h"
#include "cli/interrupt.h"
#include "cli/model_loading.h"
#include "cli/standard_output.h"
#include "model/sampler.h"
#include "model/session.h"
#include "report/npy_file.h"
#include "report/progress.h"
#include "report/units.h"

namespace seesaw::cli {
namespace {

/// Rows of a chunk whose first token is the sequence's `first_token`th. Errors: kCorruptData.
Status check_rows(std::span<const float> logits, std::size_t first_token, std::size_t num_rows) {
  const std::size_t row_size = logits.size() / num_rows;
  for (std::size_t row = 0; row < num_rows; ++row) {
    const Status status = model::check_logits(logits.subspan(row * row_size, row_size));
    if (!status) {
      return {status.code(),
              fmt::format("after token {}: {}", first_token + row, status.message())};
    }
  }
  return Status::ok();
}

/// Computes chunk by chunk, so that logits of one chunk at a time are in memory.
/// False where it was interrupted.
Result<bool> write_logits(model::Session& session, std::span<const std::int32_t> ids,
                          report::NpyFile& file) {
  const SequenceId sequence = session.add_sequence();
  const auto chunk_tokens = static_cast<std::size_t>(session.options().chunk_tokens);
  report::Progress progress("computing logits", static_cast<std::int64_t>(ids.size()));
  std::vector<float> logits;
  for (std::size_t done = 0; done < ids.size();) {
    if (is_interrupted()) return false;
    const std::size_t count = std::min(chunk_tokens, ids.size() - done);
    const std::array chunk{model::SequenceTokens{sequence, ids.subspan(done, count)}};
    if (Status status = session.prefill(chunk, model::LogitsOf::kEveryToken, logits); !status) {
      return status;
    }
    if (Status status = check_rows(logits, done, count); !status) return status;
    if (Status status = file.write_rows(logits); !status) return status;
    done += count;
    progress.update(static_cast<std::int64_t>(done));
  }
  return !is_interrupted();
}

}  // namespace

ExitCode run(const LogitsArgs& args) {
  const auto config = model::load_config(args.model);
  if (!config) return fail(config.status());
  const auto ids = read_input_ids(args.input_ids, config.value());
  if (!ids) return fail(ids.status());
  const auto num_tokens = static_cast<std::int64_t>(ids.value().size());
  // Before the long part, so that an output that cannot be written is told at once.
  auto file = report::NpyFile::create(args.output, num_tokens, config.value().vocab_size);
  if (!file) return fail(file.status());
  const auto model = load_model(args.model, args.num_threads);
  if (!model) return fail(model.status());
  auto session = model::Session::create(model.value(),
                                        {.cache_tokens = num_tokens, .kv_format = args.kv_format});
  if (!session) return fail(session.status());

  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto is_complete = write_logits(session.value(), ids.value(), file.value());
  if (is_complete.status().code() == StatusCode::kCorruptData) {
    return fail(blame_model(args.model, is_complete.status()));
  }
  if (!is_complete) return fail(is_complete.status());
  if (!is_complete.value()) {
    write_remark(fmt::format("seesaw: interrupted; {} was not written\n", args.output.string()));
    return interrupt_exit_code();
  }
  if (Status status = file.value().commit(); !status) return fail(status);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  write_remark(fmt::format("{}: float32 [{}, {}], in {}\n", args.output.string(), num_tokens,
                           config.value().vocab_size, report::seconds_text(seconds)));
  return ExitCode::kOk;
}

}  // namespace seesaw::cli
