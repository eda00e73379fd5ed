// parse_config and parse_eos_ids on any text: they answer or refuse, and an answer is usable.
#include <cmath>
#include <string_view>

#include "fuzz_target.h"
#include "model/config.h"
#include "model/rope.h"

namespace {

using seesaw::fuzz::check;
using seesaw::model::Config;

void check_usable(const Config& config) {
  check(config.hidden_size > 0 && config.num_layers > 0 && config.num_heads > 0);
  check(config.qk_rope_head_dim > 0 && config.qk_rope_head_dim % 2 == 0);
  check(std::isfinite(config.softmax_scale()) && config.softmax_scale() > 0);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    check(!config.is_moe_layer(layer) ||
          config.moe.num_experts >= config.moe.num_experts_per_token);
  }
  if (config.moe.num_experts > 0) {
    const std::int64_t group_size = config.moe.num_experts / config.moe.num_groups;
    check(group_size * config.moe.num_groups == config.moe.num_experts);
    check(config.moe.method == seesaw::model::RoutingMethod::kGreedy ||
          config.moe.num_experts_per_token <= group_size * config.moe.num_groups_per_token);
  }
  const seesaw::model::Rope rope(config.rope, config.qk_rope_head_dim);
  for (const double frequency : rope.frequencies()) check(std::isfinite(frequency));
  for (const std::int32_t id : config.eos_ids) check(id >= 0 && id < config.vocab_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = seesaw::model::parse_config(text, "f");
  if (config) {
    check_usable(config.value());
  } else {
    check(!config.status().message().empty());
  }
  static_cast<void>(seesaw::model::parse_eos_ids(text, "f", 258));
  return 0;
}
