#include <cuda_bf16.h>

#include "hardware/portable/decode_dense/instances.h"
#include "hardware/portable/decode_dense/kernel.cuh"

namespace seesaw::portable::decode_dense {

Status launch_bfloat16(const cuda::DecodeCall& call, const Alignment& alignment,
                       cuda::StreamHandle stream) {
  const bool is_narrow = call.d_qk <= NarrowConfig::kDQk && call.d_v <= NarrowConfig::kDV;
  return is_narrow ? launch_instance<NarrowConfig, __nv_bfloat16>(call, alignment, stream)
                   : launch_instance<WideConfig, __nv_bfloat16>(call, alignment, stream);
}

}  // namespace seesaw::portable::decode_dense
