// Attention over the latent cache: the only place where the engine calls Seesaw's verbs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "model/config.h"
#include "model/latent_cache.h"
#include "model/matrix_product.h"
#include "model/step.h"
#include "seesaw/executor.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::model {

/// Plans once a step and runs once a layer. Decode and prefill each keep a plan, so that a decode
/// loop plans into the memory of the step before.
class PagedAttention {
 public:
  PagedAttention(const Config& config, const DeviceSpec& device, Executor& executor)
      : config_(config), device_(device), executor_(executor) {}

  /// Errors: kUnsupported where no kernel here serves the model's shape with this cache format.
  Status check(KvFormat format, std::int64_t page_size) const;

  /// Plans the step's attention. Errors: those of seesaw::plan.
  Status prepare(const Step& step, const LatentCache& cache);

  /// Writes latent and rope of the step's tokens into a layer's cache: kv [tokens, d_qk].
  Status append(const Step& step, MatrixView kv, const TensorView& layer_cache, KvFormat format);

  /// q [tokens, h * d_qk] -> out [tokens, h * d_v], over the layer's cache; after prepare(step).
  Status run(const Step& step, MatrixView q, const TensorView& layer_cache, MutableMatrixView out);

  /// The kernel of the last decode plan, or else of the last prefill plan; empty before either.
  std::string kernel_name() const;
  /// seesaw::explain of the last decode plan; empty before there is one.
  std::string explain_decode() const;

 private:
  struct FreeMemory {
    void operator()(std::byte* memory) const noexcept;
  };
  AttentionProblem problem(const Step& step, KvFormat format, std::int64_t page_size) const;
  std::optional<WorkPlan>& plan_of(const Step& step) {
    return step.phase == Phase::kDecode ? decode_plan_ : prefill_plan_;
  }
  void reserve_workspace(std::size_t num_bytes);

  const Config& config_;
  const DeviceSpec& device_;
  Executor& executor_;
  std::optional<WorkPlan> decode_plan_;
  std::optional<WorkPlan> prefill_plan_;
  std::unique_ptr<std::byte, FreeMemory> workspace_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace seesaw::model
