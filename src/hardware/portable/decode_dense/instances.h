// The kernel's instances by element type, each compiled on its own.
#pragma once

#include "hardware/cuda/decode_launch.h"
#include "hardware/portable/decode_dense/alignment.h"

namespace seesaw::portable::decode_dense {

Status launch_bfloat16(const cuda::DecodeCall& call, const Alignment& alignment,
                       cuda::StreamHandle stream);
Status launch_float16(const cuda::DecodeCall& call, const Alignment& alignment,
                      cuda::StreamHandle stream);

}  // namespace seesaw::portable::decode_dense
