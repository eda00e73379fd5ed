#include "model/model.h"

#include <fmt/format.h>

#include <utility>

#include "model/matrix_product.h"
#include "model/weights.h"
#include "seesaw/device.h"
#include "seesaw/types/dtype.h"

namespace seesaw::model {

struct Model::Content {
  Config config;
  Weights weights;
  DeviceSpec device;
  mutable Executor executor;  // calls from several threads take turns
};

Model::Model(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

Result<Model> Model::load(const std::filesystem::path& folder, const ModelOptions& options) {
  if (options.num_threads < 0 || options.num_threads > Executor::kMaxThreads) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("num_threads: is {}, must be from 0 to {}", options.num_threads,
                              Executor::kMaxThreads));
  }
  auto device = probe_cpu();
  if (!device) return device.status();
  auto config = load_config(folder);
  if (!config) return config.status();
  auto checkpoint = Checkpoint::open(folder);
  if (!checkpoint) return checkpoint.status();
  auto weights = load_weights(std::move(checkpoint).value(), config.value(), options.on_progress);
  if (!weights) return weights.status();
  try {
    auto content = std::make_shared<Content>(
        Content{std::move(config).value(), std::move(weights).value(), std::move(device).value(),
                Executor::cpu(options.num_threads)});
    content->device.num_workers = content->executor.num_threads();
    set_product_threads(content->executor.num_threads());
    return Model(std::move(content));
  } catch (const Error& error) {  // the executor could not start its threads
    return error.status();
  }
}

const Config& Model::config() const noexcept { return content_->config; }
const Weights& Model::weights() const noexcept { return content_->weights; }
const DeviceSpec& Model::device() const noexcept { return content_->device; }
Executor& Model::executor() const noexcept { return content_->executor; }
int Model::num_threads() const noexcept { return content_->executor.num_threads(); }

std::int64_t Model::mapped_bytes() const noexcept {
  return content_->weights.checkpoint.mapped_bytes();
}
std::int64_t Model::widened_bytes() const noexcept { return content_->weights.widened_bytes; }
std::int64_t Model::num_parameters() const noexcept { return content_->weights.num_parameters; }

CacheCost Model::cache_cost(KvFormat format) const noexcept {
  const Config& c = config();
  const auto dtype = plain_dtype(format);
  const auto element_bytes = static_cast<std::int64_t>(dtype ? size_bytes(*dtype) : 0);
  return {.latent_bytes = c.num_layers * c.d_qk() * element_bytes,
          .plain_attention_bytes =
              c.num_layers * c.num_heads * (c.qk_head_dim() + c.v_head_dim) * element_bytes};
}

}  // namespace seesaw::model
