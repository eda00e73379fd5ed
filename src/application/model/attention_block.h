// Multi-head Latent Attention of one layer, absorbed.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/latent_cache.h"
#include "model/paged_attention.h"
#include "model/rope.h"
#include "model/scratch.h"
#include "model/step.h"
#include "model/weights.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

/// With W_UK folded into the query and W_UV behind the attention, every head attends to the same
/// cached latent, and no head's keys or values are ever formed (docs/mla.md, "Absorption"):
///   score_h = (q_nope_h W_UK_h) . latent + q_rope_h . rope        out_h = (P_h latent) W_UV_h^T
class AttentionBlock {
 public:
  explicit AttentionBlock(const Config& config)
      : config_(config), rope_(config.rope, config.qk_rope_head_dim) {}

  /// Computes what depends on the step's positions only; before the first layer.
  void prepare(const Step& step);

  /// x [tokens, hidden] (normed) -> out [tokens, hidden]; writes the step's tokens into the cache.
  /// attention must be prepared for the step. Errors: those of append, decode and prefill.
  Status run(const Step& step, const AttentionWeights& weights, MatrixView x,
             const TensorView& layer_cache, PagedAttention& attention, MutableMatrixView out);

 private:
  MutableMatrixView project_query(const AttentionWeights& weights, MatrixView x);
  MutableMatrixView project_latent(const AttentionWeights& weights, MatrixView x);
  MutableMatrixView absorb_query(const AttentionWeights& weights, MatrixView q);
  MutableMatrixView expand_values(const AttentionWeights& weights, MatrixView latent_out);

  const Config& config_;
  Rope rope_;
  std::vector<Rope::Angles> angles_;  // [tokens]
  Scratch query_low_rank_;            // [tokens, q_lora_rank]
  Scratch query_;                     // [tokens, h * qk_head_dim]
  Scratch kv_;                        // [tokens, d_qk]
  Scratch absorbed_query_;            // [tokens, h * d_qk]
  Scratch latent_out_;                // [tokens, h * d_latent]
  Scratch values_;                    // [tokens, h * v_head_dim]
};

}  // namespace seesaw::model
