// A checkpoint ready to run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "model/config.h"
#include "seesaw/executor.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

struct Weights;

struct ModelOptions {
  int num_threads = 0;  // 0: every core the process may use
  /// Called after each layer that is loaded, if given.
  std::function<void(std::int64_t num_done, std::int64_t num_layers)> on_progress = {};
};

/// Bytes that one token takes in the cache of all layers.
struct CacheCost {
  std::int64_t latent_bytes = 0;           // as Seesaw stores it: latent and rope, once a layer
  std::int64_t plain_attention_bytes = 0;  // K and V of every head, as multi-head attention would
};

/// Weights, configuration and the threads they run on. A cheap handle: copies share everything;
/// what they share is never written after loading, and lives as long as any of them (or a Session
/// made from one).
class Model {
 public:
  /// Loads a HuggingFace folder: config.json, generation_config.json (optional) and
  /// model.safetensors, or model.safetensors.index.json with its shards. Sets the number of
  /// threads of OpenBLAS, which is one for the whole process.
  /// Errors: kIoError, kCorruptData, kUnsupported, each naming file and field;
  /// kInvalidArgument (num_threads < 0).
  static Result<Model> load(const std::filesystem::path& folder, const ModelOptions& options = {});

  const Config& config() const noexcept;
  const Weights& weights() const noexcept;
  const DeviceSpec& device() const noexcept;
  Executor& executor() const noexcept;
  int num_threads() const noexcept;

  /// Bytes of the mapped files, and of float32 copies of what they hold in 16 bits.
  std::int64_t mapped_bytes() const noexcept;
  std::int64_t widened_bytes() const noexcept;
  std::int64_t num_parameters() const noexcept;
  /// format must be an unscaled one.
  CacheCost cache_cost(KvFormat format) const noexcept;

 private:
  struct Content;
  explicit Model(std::shared_ptr<const Content> content);
  std::shared_ptr<const Content> content_;
};

}  // namespace seesaw::model
