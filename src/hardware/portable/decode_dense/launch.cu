// From a decode to the instance of its type and alignment.
#include <cstdint>

#include "hardware/cuda/decode_launch.h"
#include "hardware/portable/decode_dense/config.h"
#include "hardware/portable/decode_dense/instances.h"

namespace seesaw::cuda {
namespace {

namespace decode_dense = portable::decode_dense;

constexpr std::int64_t kElementBytes = 2;

bool is_multiple(std::int64_t num_bytes, std::int64_t elements) {
  return elements * kElementBytes % num_bytes == 0;
}

bool is_aligned(const void* pointer, std::uintptr_t num_bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % num_bytes == 0;
}

decode_dense::Alignment alignment_of(const DecodeCall& call) {
  decode_dense::Alignment alignment;
  alignment.has_16_byte_keys = is_aligned(call.kv_cache, 16) && is_multiple(16, call.page_stride) &&
                               is_multiple(16, call.token_stride) &&
                               is_multiple(16, call.kv_head_stride);
  alignment.has_4_byte_queries =
      call.d_qk % 2 == 0 && is_aligned(call.q, 4) && is_multiple(4, call.q_strides.request) &&
      is_multiple(4, call.q_strides.token) && is_multiple(4, call.q_strides.head);
  return alignment;
}

}  // namespace

Status launch_decode_portable(const DecodeCall& call, StreamHandle stream) {
  const GroupShape& shape = call.shape;
  if (shape.num_sequences() == 0 || shape.num_rows() == 0) return Status::ok();
  if (shape.rows_per_tile != decode_dense::kRows ||
      shape.tokens_per_block != decode_dense::kTokens ||
      call.d_qk > decode_dense::TallConfig::kDQk || call.d_v > call.d_qk) {
    return {StatusCode::kInternal,
            "portable_decode_dense: called with a plan or dimensions that "
            "it said it does not serve"};
  }
  const decode_dense::Alignment alignment = alignment_of(call);
  return call.q_dtype == DType::kBFloat16 ? decode_dense::launch_bfloat16(call, alignment, stream)
                                          : decode_dense::launch_float16(call, alignment, stream);
}

}  // namespace seesaw::cuda
