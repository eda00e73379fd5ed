#include "application/model/safetensors_writer.h"

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

namespace seesaw::model {
namespace {

void append_value(std::string& data, float value, DType dtype) {
  const auto append = [&](const auto& stored) {
    data.append(reinterpret_cast<const char*>(&stored), sizeof(stored));
  };
  switch (dtype) {
    case DType::kBFloat16:
      return append(BFloat16(value));
    case DType::kFloat16:
      return append(Float16(value));
    default:
      return append(value);
  }
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
      return "BF16";
    case DType::kFloat16:
      return "F16";
    default:
      return "F32";
  }
}

}  // namespace

float round_to(float value, DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
      return static_cast<float>(BFloat16(value));
    case DType::kFloat16:
      return static_cast<float>(Float16(value));
    default:
      return value;
  }
}

std::string make_file(std::string_view header, std::string_view data) {
  static_assert(std::endian::native == std::endian::little);
  const std::uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += header;
  file += data;
  return file;
}

std::string make_file(const NamedTensors& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = data.size();
    for (const float value : tensor.values) append_value(data, value, tensor.dtype);
    header[name] = {{"dtype", name_of(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  return make_file(header.dump(), data);
}

}  // namespace seesaw::model
