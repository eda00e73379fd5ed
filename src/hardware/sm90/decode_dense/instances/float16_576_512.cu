#include "hardware/sm90/decode_dense/instances/instances.h"
#include "hardware/sm90/decode_dense/kernel.cuh"

namespace seesaw::sm90::decode_dense {

Status launch_float16_576_512(const TensorMaps& maps, const KernelArgs& args,
                              cuda::StreamHandle stream) {
  return launch<Config<576, 512>, __half>(maps, args, stream);
}

}  // namespace seesaw::sm90::decode_dense
