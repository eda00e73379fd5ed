// The oracle of tests on a device, on the host: the emulated device's memory can be read here.
#include "algorithm/reference_attention.h"
#include "support/device_oracle.h"

namespace seesaw::testing {

algorithm::ReferenceOutputs device_reference(const AttentionProblem& problem,
                                             const DecodeArgs& args,
                                             std::span<const std::int32_t> kv_lengths,
                                             cudaStream_t) {
  algorithm::ReferenceInputs inputs;
  inputs.problem = problem;
  inputs.kv_lengths = kv_lengths;
  inputs.q = args.q;
  inputs.kv_cache = args.cache.kv_cache;
  inputs.block_table = args.cache.block_table;
  inputs.attn_sink = args.cache.attn_sink;
  return algorithm::reference_attention(inputs);
}

}  // namespace seesaw::testing
