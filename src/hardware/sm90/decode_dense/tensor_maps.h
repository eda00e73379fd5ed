// The copy engine's view of a paged cache.
#pragma once

#include <cuda.h>

#include "hardware/sm90/decode_dense/kernel_args.h"
#include "seesaw/types/status.h"

namespace seesaw::sm90::decode_dense {

struct TensorMaps {
  CUtensorMap keys;
  CUtensorMap tail;
};

/// Maps of a cache in boxes of args.box_tokens tokens: keys of args.box_columns columns of 64
/// dimensions, tail of one. Touches no device. Errors: kDeviceError (the driver refuses).
Status make_tensor_maps(const KernelArgs& args, TensorMaps& maps);

}  // namespace seesaw::sm90::decode_dense
