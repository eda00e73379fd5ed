// From a decode to a launch: the instance of its shape, tensor maps, the grid.
#include <algorithm>

#include "hardware/cuda/decode_launch.h"
#include "hardware/sm90/decode_dense/config.h"
#include "hardware/sm90/decode_dense/instances/instances.h"
#include "hardware/sm90/decode_dense/trace.h"

namespace seesaw::cuda {

namespace decode_dense = sm90::decode_dense;

Status launch_decode_sm90(const DecodeCall& call, StreamHandle stream) {
  decode_dense::KernelArgs args;
  args.call = call;
  args.box_tokens = std::min(call.page_size, decode_dense::kTokens);
  const bool is_page_per_tile = args.box_tokens == decode_dense::kTokens;
  args.box_columns = is_page_per_tile ? call.d_v / 128 : 1;
  args.heads_per_kv = cutlass::FastDivmod(call.shape.heads_per_kv);
  args.page_size = cutlass::FastDivmod(call.page_size);
#ifdef SEESAW_TRACE
  args.trace = decode_dense::trace_clocks;
#endif
  decode_dense::TensorMaps maps;
  if (Status status = decode_dense::make_tensor_maps(args, maps); !status.is_ok()) return status;

  const bool is_bfloat16 = call.q_dtype == DType::kBFloat16;
  if (call.d_qk == 576) {
    return is_bfloat16 ? decode_dense::launch_bfloat16_576_512(maps, args, stream)
                       : decode_dense::launch_float16_576_512(maps, args, stream);
  }
  if (call.d_qk == 512) {
    return is_bfloat16 ? decode_dense::launch_bfloat16_512_512(maps, args, stream)
                       : decode_dense::launch_float16_512_512(maps, args, stream);
  }
  return is_bfloat16 ? decode_dense::launch_bfloat16_320_256(maps, args, stream)
                     : decode_dense::launch_float16_320_256(maps, args, stream);
}

}  // namespace seesaw::cuda
