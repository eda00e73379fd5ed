// How one token of the latent cache is stored. The format is always an explicit argument: two
// formats of equal width exist, so a width proves nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "seesaw/types/dtype.h"

namespace seesaw {

/// Arrangement of one token (and KV head) in a page. V is the first d_v dimensions of K.
enum class KvFormat : std::uint8_t {
  kFloat32,       // d_qk float32: latent, then rope
  kBFloat16,      // d_qk bfloat16: latent, then rope (1,152 bytes at d_qk 576)
  kFloat16,       // d_qk float16: latent, then rope
  kFp8PerTensor,  // d_qk e4m3, one scale for the whole cache (576 bytes)
  kFp8V32,        // DeepSeek-V3.2 "fp8_ds_mla": 512 e4m3, 4 float32 scales, 64 bfloat16 (656 bytes)
  kFp8PerToken,   // SnapMLA: 512 e4m3, 1 float32 scale, 64 scaled bfloat16 (644 bytes)
  kFp8V4,         // DeepSeek-V4 "MODEL1": 448 e4m3 + 64 bfloat16, 7 UE8M0 scales (584 bytes)
};

constexpr const char* to_string(KvFormat format) noexcept {
  switch (format) {
    case KvFormat::kFloat32:
      return "float32";
    case KvFormat::kBFloat16:
      return "bfloat16";
    case KvFormat::kFloat16:
      return "float16";
    case KvFormat::kFp8PerTensor:
      return "fp8_per_tensor";
    case KvFormat::kFp8V32:
      return "fp8_v32";
    case KvFormat::kFp8PerToken:
      return "fp8_per_token";
    case KvFormat::kFp8V4:
      return "fp8_v4";
  }
  return "unknown";
}

/// The element type of an unscaled format; nothing for the quantized ones.
constexpr std::optional<DType> plain_dtype(KvFormat format) noexcept {
  switch (format) {
    case KvFormat::kFloat32:
      return DType::kFloat32;
    case KvFormat::kBFloat16:
      return DType::kBFloat16;
    case KvFormat::kFloat16:
      return DType::kFloat16;
    default:
      return std::nullopt;
  }
}

/// The unscaled format of an element type; nothing where there is none.
constexpr std::optional<KvFormat> plain_format(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat32:
      return KvFormat::kFloat32;
    case DType::kBFloat16:
      return KvFormat::kBFloat16;
    case DType::kFloat16:
      return KvFormat::kFloat16;
    default:
      return std::nullopt;
  }
}

}  // namespace seesaw
