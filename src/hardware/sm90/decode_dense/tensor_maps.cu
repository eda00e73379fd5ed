#include "hardware/sm90/decode_dense/tensor_maps.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>

#include "hardware/cuda/error.h"

namespace seesaw::sm90::decode_dense {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, found at run time: the library does not link the driver.
Status find_encode(Encode& encode) {
  static std::atomic<Encode> found{nullptr};
  encode = found.load(std::memory_order_acquire);
  if (encode != nullptr) return Status::ok();
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult result{};
  Status status =
      cuda::check_call(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                                        cudaEnableDefault, &result),
                       "cudaGetDriverEntryPointByVersion(cuTensorMapEncodeTiled)");
  if (!status.is_ok()) return status;
  if (entry == nullptr) {
    return {StatusCode::kDeviceError,
            "cuTensorMapEncodeTiled: the driver lacks it, must be of CUDA 12.0 or newer"};
  }
  encode = reinterpret_cast<Encode>(entry);
  found.store(encode, std::memory_order_release);
  return Status::ok();
}

}  // namespace

Status make_tensor_maps(const KernelArgs& args, TensorMaps& maps) {
  Encode encode = nullptr;
  if (Status status = find_encode(encode); !status.is_ok()) return status;

  // Dimensions: 64 of a column, tokens of a page, columns, KV heads, pages.
  const cuda::DecodeCall& call = args.call;
  const auto at_least_1 = [](std::int64_t n) {
    return static_cast<cuuint64_t>(std::max<std::int64_t>(1, n));
  };
  const cuuint64_t sizes[] = {64, at_least_1(call.page_size), at_least_1(call.d_qk / 64),
                              at_least_1(call.shape.h_kv), at_least_1(call.num_pages)};
  // The stride of a dimension of one may be any number; a map wants 16 bytes or more.
  const auto bytes = [](std::int64_t stride) {
    return static_cast<cuuint64_t>(std::max<std::int64_t>(8, stride)) * 2;
  };
  const cuuint64_t strides[] = {bytes(call.token_stride), 128, bytes(call.kv_head_stride),
                                bytes(call.page_stride)};
  const auto tokens = static_cast<cuuint32_t>(args.box_tokens);
  const cuuint32_t key_box[] = {64, tokens, static_cast<cuuint32_t>(args.box_columns), 1, 1};
  const cuuint32_t tail_box[] = {64, tokens, 1, 1, 1};
  const cuuint32_t element_strides[] = {1, 1, 1, 1, 1};
  const CUtensorMapDataType type = call.q_dtype == DType::kBFloat16
                                       ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const auto make = [&](CUtensorMap& map, const cuuint32_t* box) {
    return encode(&map, type, 5, const_cast<void*>(call.kv_cache), sizes, strides, box,
                  element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  CUresult result = make(maps.keys, key_box);
  if (result == CUDA_SUCCESS) result = make(maps.tail, tail_box);
  if (result == CUDA_SUCCESS) return Status::ok();
  return {StatusCode::kDeviceError,
          "cuTensorMapEncodeTiled: failed with " + std::to_string(result) + " for " +
              std::to_string(call.num_pages) + " pages of " + std::to_string(call.page_size) +
              " tokens, strides of " + std::to_string(call.page_stride) + ", " +
              std::to_string(call.token_stride) + " and " + std::to_string(call.kv_head_stride) +
              " elements"};
}

}  // namespace seesaw::sm90::decode_dense
