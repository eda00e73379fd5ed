// Kernels that serve a DecodeCall. Every function only enqueues work on `stream` (a cudaStream_t),
// allocates nothing and does not synchronize; it may be captured into a graph.
#pragma once

#include <string>

#include "hardware/cuda/decode_call.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// A stream of the CUDA runtime, without its header.
using StreamHandle = void*;

/// What a kernel asks of the scheduler.
struct DecodeTraits {
  std::int32_t rows_per_tile = 0;
  std::int32_t tokens_per_block = 0;
  std::int32_t max_group_size = 1;
};

/// What every kernel below asks of a problem, and its shared memory of the device: empty, or why it
/// cannot be served.
std::string why_not_dense_decode(const AttentionProblem& problem, const DeviceSpec& device,
                                 int shared_bytes);

// The tuned kernel of Hopper (sm_90a): hardware/sm90/decode_dense.
/// Empty where it serves the problem on the device; else why it does not. No CUDA is called.
std::string why_not_sm90(const AttentionProblem& problem, const DeviceSpec& device);
DecodeTraits sm90_traits(const AttentionProblem& problem);
/// Why these arrays cannot be copied by its tensor maps (16-byte alignment of pointers and
/// strides); empty where they can.
std::string why_not_sm90_call(const DecodeCall& call);
Status launch_decode_sm90(const DecodeCall& call, StreamHandle stream);

// The portable kernel (sm_80 and newer): hardware/portable/decode_dense.
std::string why_not_portable(const AttentionProblem& problem, const DeviceSpec& device);
DecodeTraits portable_traits(const AttentionProblem& problem);
Status launch_decode_portable(const DecodeCall& call, StreamHandle stream);

/// Merges the slots of split sequences into out and lse: right after either kernel, in the same
/// stream. Launched as a programmatic dependent: it waits for the kernel's end on the device, but
/// reads the cuts before, so whoever wrote those must come before that kernel.
Status launch_combine(const DecodeCall& call, StreamHandle stream);

}  // namespace seesaw::cuda
