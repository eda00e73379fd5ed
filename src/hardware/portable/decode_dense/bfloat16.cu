#include <cuda_bf16.h>

#include "hardware/portable/decode_dense/instances.h"
#include "hardware/portable/decode_dense/kernel.cuh"

namespace seesaw::portable::decode_dense {

Status launch_bfloat16(const cuda::DecodeCall& call, const Alignment& alignment,
                       cuda::StreamHandle stream) {
  if (serves<NarrowConfig>(call.d_qk, call.d_v)) {
    return launch_instance<NarrowConfig, __nv_bfloat16>(call, alignment, stream);
  }
  if (serves<WideConfig>(call.d_qk, call.d_v)) {
    return launch_instance<WideConfig, __nv_bfloat16>(call, alignment, stream);
  }
  return launch_instance<TallConfig, __nv_bfloat16>(call, alignment, stream);
}

}  // namespace seesaw::portable::decode_dense
