// The float64 oracle of dense decode, computed on a CUDA device: seconds where the host takes
// hours.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "algorithm/reference_attention.h"
#include "seesaw/attention.h"

namespace seesaw::testing {

/// What algorithm::reference_attention gives for a dense decode, from the arrays of `args` (device
/// memory; outputs and workspace are not looked at) and lengths on the host; a negative length is
/// 0. Plain kernels in float64: a warp a (row, key), a thread a row, a thread an output element.
/// Waits for the stream. Throws std::runtime_error where CUDA fails.
algorithm::ReferenceOutputs device_reference(const AttentionProblem& problem,
                                             const DecodeArgs& args,
                                             std::span<const std::int32_t> kv_lengths,
                                             cudaStream_t stream);

}  // namespace seesaw::testing
