// parse_weight_map on any text: it answers or refuses, and names no file outside the folder.
#include <string_view>

#include "fuzz_target.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto map = seesaw::model::parse_weight_map(text, "f");
  if (!map) {
    seesaw::fuzz::check(!map.status().message().empty());
    return 0;
  }
  for (const auto& [tensor, file] : map.value()) {
    seesaw::fuzz::check(!file.empty() && file != ".." && file.find('/') == std::string::npos);
  }
  return 0;
}
