#include "hardware/sm90/decode_dense/instances/instances.h"
#include "hardware/sm90/decode_dense/kernel.cuh"

namespace seesaw::sm90::decode_dense {

Status launch_bfloat16_512_512(const TensorMaps& maps, const KernelArgs& args,
                               cuda::StreamHandle stream) {
  return launch<Config<512, 512>, __nv_bfloat16>(maps, args, stream);
}

}  // namespace seesaw::sm90::decode_dense
