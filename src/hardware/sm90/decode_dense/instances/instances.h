// The compiled shapes, by element type, d_qk and d_v: one file each, so that they are compiled side
// by side.
#pragma once

#include "hardware/cuda/decode_launch.h"
#include "hardware/sm90/decode_dense/kernel_args.h"
#include "hardware/sm90/decode_dense/tensor_maps.h"

namespace seesaw::sm90::decode_dense {

using Launch = Status(const TensorMaps& maps, const KernelArgs& args, cuda::StreamHandle stream);

Launch launch_bfloat16_576_512;
Launch launch_bfloat16_512_512;
Launch launch_bfloat16_320_256;
Launch launch_float16_576_512;
Launch launch_float16_512_512;
Launch launch_float16_320_256;

}  // namespace seesaw::sm90::decode_dense
