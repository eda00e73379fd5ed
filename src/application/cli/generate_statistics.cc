#include "cli/generate_statistics.h"

#include <fmt/format.h>

#include "report/table.h"
#include "report/units.h"

namespace seesaw::cli {
namespace {

/// "-" where nothing was measured.
std::string rate_text(double tokens_per_second) {
  return tokens_per_second > 0.0 ? report::three_digits(tokens_per_second) + " tok/s" : "-";
}

double prefill_tokens_per_second(const model::Generation& generation) {
  if (generation.prefill_seconds <= 0.0) return 0.0;
  return static_cast<double>(generation.num_prompt_tokens) / generation.prefill_seconds;
}

std::string cache_text(const model::Session& session) {
  const KvFormat format = session.options().kv_format;
  const model::CacheCost cost = session.model().cache_cost(format);
  const double ratio =
      static_cast<double>(cost.plain_attention_bytes) / static_cast<double>(cost.latent_bytes);
  return fmt::format(
      "{} bytes a token ({}); plain multi-head attention would need {}, {} times as many",
      report::with_commas(cost.latent_bytes), to_string(format),
      report::with_commas(cost.plain_attention_bytes), report::three_digits(ratio));
}

}  // namespace

std::string statistics_text(const model::Session& session,
                            std::span<const model::Generation> generations) {
  using enum report::Align;
  report::Table table({{"prompt tokens", kRight},
                       {"time to first token", kRight},
                       {"prefill", kRight},
                       {"new tokens", kRight},
                       {"decode", kRight},
                       {"ended by", kLeft}});
  for (const model::Generation& generation : generations) {
    const bool has_tokens = !generation.ids.empty();
    table.add_row({report::with_commas(generation.num_prompt_tokens),
                   has_tokens ? report::seconds_text(generation.first_token_seconds) : "-",
                   rate_text(prefill_tokens_per_second(generation)),
                   report::with_commas(static_cast<std::int64_t>(generation.ids.size())),
                   rate_text(generation.decode_tokens_per_second()), to_string(generation.reason)});
  }
  const std::string kernel = session.kernel_name();
  return fmt::format("{}cache   {}\nkernel  {} on {}, {}\n", table.text(), cache_text(session),
                     kernel.empty() ? "none" : kernel, session.model().device().name,
                     report::counted(session.model().num_threads(), "thread"));
}

}  // namespace seesaw::cli
