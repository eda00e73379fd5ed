// What a generation cost.
#pragma once

#include <span>
#include <string>

#include "model/generate.h"
#include "model/session.h"

namespace seesaw::cli {

/// A row for each generation (prompt and new tokens, time to the first token, tokens per second of
/// prefill and of decode), the cache's bytes a token against what plain multi-head attention would
/// need, and the attention kernel.
std::string statistics_text(const model::Session& session,
                            std::span<const model::Generation> generations);

}  // namespace seesaw::cli
