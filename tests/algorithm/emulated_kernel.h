// A kernel's arithmetic without its speed: float32, bfloat16 dot products or tensor cores, rounded
// operation by operation, with faults to inject. What the error bounds are measured against.
#pragma once

#include <cstdint>
#include <vector>

#include "algorithm/error_bounds.h"
#include "support/attention_case.h"

namespace seesaw::testing {

enum class DotOrder : std::uint8_t {
  kSequential,  // one FMA chain
  kLanes,       // 16 interleaved FMA chains, then a tree
  kPairs,       // vdpbf16ps: x0 y0 + x1 y1 rounded, then added to the sum; subnormals flushed
  kSteps,       // a tensor core: arithmetic.terms_per_step products and the sum, aligned and cut
};

enum class Fault : std::uint8_t {
  kNone,
  kDroppedKey,          // the key in the middle is skipped
  kRepeatedKey,         // the last key counts twice
  kScaledByOnePercent,  // softmax scale 1.01 times too large
  kUnroundedSum,        // l of weights before they are rounded for P V
  kUnscaledSum,         // o is rescaled when the maximum moves, l is not
  kLostMerge,           // the last split is forgotten
  kShiftedValue,        // V is taken one dimension too far
};

struct Emulation {
  algorithm::KernelArithmetic arithmetic = {};
  DotOrder order = DotOrder::kSequential;
  Fault fault = Fault::kNone;
};

struct EmulatedOutputs {
  std::vector<double> out;  // rows as the oracle's
  std::vector<double> lse;
  std::vector<double> max_logits;
};

/// Dense decode of `attention_case`. 2^x errs by up to arithmetic.exp2_error, at random; m lags as
/// much as arithmetic.max_lag allows.
EmulatedOutputs emulate_kernel(AttentionCase& attention_case, const Emulation& emulation, Rng& rng);

}  // namespace seesaw::testing
