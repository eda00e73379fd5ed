// The model once more, in float64 and in the plainest way: every head's keys and values are formed,
// nothing is absorbed, cached or split. It shares no code with the engine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "application/model/random_model.h"
#include "application/model/safetensors_writer.h"

namespace seesaw::model {

struct ReferenceResult {
  std::vector<double> logits;  // [tokens, vocab]
  /// Smallest distance between the last chosen and the first rejected group or expert, over all
  /// tokens and layers: where it is small, float32 may rightly choose another.
  double smallest_routing_gap = 0.0;
};

ReferenceResult run_reference(const ModelSpec& spec, const NamedTensors& weights,
                              std::span<const std::int32_t> ids);

}  // namespace seesaw::model
