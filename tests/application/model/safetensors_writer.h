// Writes safetensors files for tests: good ones from values, bad ones from any header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "seesaw/types/dtype.h"

namespace seesaw::model {

struct NamedTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  DType dtype = DType::kFloat32;  // the values are rounded to it when written
};

using NamedTensors = std::map<std::string, NamedTensor>;

/// A value as it comes back from a file of this dtype.
float round_to(float value, DType dtype);

/// 8 bytes of length, the header, the data.
std::string make_file(std::string_view header, std::string_view data);

/// A file with these tensors, one behind the other.
std::string make_file(const NamedTensors& tensors);

}  // namespace seesaw::model
