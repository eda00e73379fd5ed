// `seesaw generate`: prompts in, text out as it comes.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/generate_statistics.h"
#include "cli/interrupt.h"
#include "cli/model_loading.h"
#include "cli/standard_output.h"
#include "model/generate.h"
#include "model/session.h"
#include "model/tokenizer.h"
#include "report/progress.h"

namespace seesaw::cli {
namespace {

using model::Continue;
using PromptIds = std::vector<std::int32_t>;

/// Writes one completion, whole characters only. The first write error sticks.
class CompletionText {
 public:
  /// shown_prompt stands before the completion; its last bytes may be the begin of a character
  /// that the completion goes on with.
  explicit CompletionText(std::string_view shown_prompt) {
    for (const char c : shown_prompt) prompt_text_ += stream_.push(static_cast<unsigned char>(c));
  }

  bool has_begun() const { return has_begun_; }

  Continue push(std::int32_t id) {
    write_prompt();
    write(stream_.push(id));
    return status_.is_ok() ? Continue::kYes : Continue::kStop;
  }

  /// Ends the line. Errors: kIoError.
  Status finish() {
    write_prompt();
    write(stream_.finish() + "\n");
    return status_;
  }

 private:
  // Only now, for until the first token a progress bar has the line.
  void write_prompt() {
    has_begun_ = true;
    write(std::exchange(prompt_text_, {}));
  }
  void write(std::string_view text) {
    if (status_.is_ok() && !text.empty()) status_ = write_output(text);
  }

  model::TextStream stream_;
  std::string prompt_text_;
  bool has_begun_ = false;
  Status status_;
};

/// "--prompt", with its number where there are several.
std::string name_of_prompt(std::size_t prompt_idx, std::size_t num_prompts) {
  return num_prompts == 1 ? "--prompt" : fmt::format("--prompt {}", prompt_idx + 1);
}

Result<std::vector<PromptIds>> encode_prompts(const GenerateArgs& args, const model::Model& model) {
  const auto tokenizer = model::ByteTokenizer::for_model(args.model, model.config());
  if (!tokenizer) return tokenizer.status();
  std::vector<PromptIds> encoded;
  for (const std::string& prompt : args.prompts) {
    encoded.push_back(tokenizer.value().encode(prompt));
    const auto num_tokens = static_cast<std::int64_t>(encoded.back().size());
    if (num_tokens <= model.config().max_positions) continue;
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("{}: has {} tokens, must have at most {}, the max_position_embeddings "
                    "of {}",
                    name_of_prompt(encoded.size() - 1, args.prompts.size()), num_tokens,
                    model.config().max_positions, (args.model / "config.json").string()));
  }
  return encoded;
}

/// A cache with room for the longest prompt and its completion, as far as the model reaches.
Result<model::Session> create_session(const GenerateArgs& args, const model::Model& model,
                                      const std::vector<PromptIds>& prompts) {
  std::size_t longest = 0;
  for (const PromptIds& ids : prompts) longest = std::max(longest, ids.size());
  model::SessionOptions options;
  options.kv_format = args.kv_format;
  options.cache_tokens = std::min(model.config().max_positions,
                                  static_cast<std::int64_t>(longest) + args.max_new_tokens);
  return model::Session::create(model, options);
}

Result<model::Generation> complete(const GenerateArgs& args, model::Session& session,
                                   std::string_view shown_prompt, const PromptIds& ids) {
  model::GenerateOptions options;
  options.max_new_tokens = args.max_new_tokens;
  options.sampling = {.temperature = args.temperature,
                      .top_p = args.top_p,
                      .seed = static_cast<std::uint64_t>(args.seed)};
  CompletionText text(shown_prompt);
  report::Progress progress("reading the prompt", static_cast<std::int64_t>(ids.size()));
  options.on_prefill = [&progress](std::int64_t done, std::int64_t total) {
    progress.update(done, total);
    return is_interrupted() ? Continue::kStop : Continue::kYes;
  };
  const auto on_token = [&](std::int32_t id) {
    progress.finish();
    const Continue answer = text.push(id);
    return is_interrupted() ? Continue::kStop : answer;
  };
  auto generation = model::generate(session, ids, options, on_token);
  progress.finish();
  if (!generation && !text.has_begun()) return generation.status();
  if (Status written = text.finish(); !written) return written;
  return generation;
}

}  // namespace

ExitCode run(const GenerateArgs& args) {
  const auto model = load_model(args.model, args.num_threads);
  if (!model) return fail(model.status());
  const auto prompts = encode_prompts(args, model.value());
  if (!prompts) return fail(prompts.status());
  auto session = create_session(args, model.value(), prompts.value());
  if (!session) return fail(session.status());

  std::vector<model::Generation> generations;
  const std::size_t num_prompts = args.prompts.size();
  for (std::size_t i = 0; i < num_prompts && !is_interrupted(); ++i) {
    const std::string_view shown_prompt = num_prompts > 1 ? args.prompts[i] : std::string_view();
    auto generation = complete(args, session.value(), shown_prompt, prompts.value()[i]);
    if (generation.status().code() == StatusCode::kCorruptData) {
      return fail(blame_model(args.model, generation.status()));
    }
    if (!generation) return fail(generation.status());
    generations.push_back(std::move(generation).value());
  }
  write_remark(fmt::format("\n{}", statistics_text(session.value(), generations)));
  return interrupt_exit_code();
}

}  // namespace seesaw::cli
