// One step of tokens through all layers.
#pragma once

#include <cstdint>
#include <span>

#include "model/attention_block.h"
#include "model/config.h"
#include "model/feed_forward.h"
#include "model/latent_cache.h"
#include "model/paged_attention.h"
#include "model/scratch.h"
#include "model/step.h"
#include "model/weights.h"
#include "seesaw/executor.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

/// Holds the activations' memory; config, weights, device and executor must outlive it.
class Forward {
 public:
  Forward(const Config& config, const Weights& weights, const DeviceSpec& device,
          Executor& executor)
      : config_(config),
        weights_(weights),
        attention_(config, device, executor),
        attention_block_(config),
        feed_forward_(config) {}

  /// Computes the step's tokens and writes them into the cache.
  Status run(const Step& step, LatentCache& cache);

  /// Logits of some tokens of the last step: token_idx [rows] -> logits [rows, vocab_size].
  void compute_logits(std::span<const std::int64_t> token_idx, float* logits);

  const PagedAttention& attention() const noexcept { return attention_; }

 private:
  MutableMatrixView embed(const Step& step);

  const Config& config_;
  const Weights& weights_;
  PagedAttention attention_;
  AttentionBlock attention_block_;
  FeedForward feed_forward_;
  Scratch hidden_;  // [tokens, hidden]: the residual stream
  Scratch normed_;  // [tokens, hidden]
  Scratch branch_;  // [tokens, hidden]: what a block adds to the stream
  std::int64_t num_tokens_ = 0;
};

}  // namespace seesaw::model
