#include <cuda_fp16.h>

#include "hardware/portable/decode_dense/instances.h"
#include "hardware/portable/decode_dense/kernel.cuh"

namespace seesaw::portable::decode_dense {

Status launch_float16(const cuda::DecodeCall& call, const Alignment& alignment,
                      cuda::StreamHandle stream) {
  const bool is_narrow = call.d_qk <= NarrowConfig::kDQk && call.d_v <= NarrowConfig::kDV;
  return is_narrow ? launch_instance<NarrowConfig, __half>(call, alignment, stream)
                   : launch_instance<WideConfig, __half>(call, alignment, stream);
}

}  // namespace seesaw::portable::decode_dense
