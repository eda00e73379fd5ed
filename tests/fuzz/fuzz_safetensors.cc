// parse_safetensors on any bytes: it answers or refuses, and what it answers lies in the file.
#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "fuzz_target.h"
#include "model/safetensors.h"

namespace {

using seesaw::fuzz::check;
using seesaw::model::parse_safetensors;

void parse(std::span<const std::byte> file) {
  const auto table = parse_safetensors(file, "f");
  if (!table) {
    check(!table.status().message().empty());
    return;
  }
  std::size_t covered = 0;
  for (const auto& [name, entry] : table.value()) {
    check(entry.begin >= 8 && entry.begin <= entry.end && entry.end <= file.size());
    covered += entry.end - entry.begin;
    std::size_t elements = 1;
    for (const std::int64_t dim : entry.shape) elements *= static_cast<std::size_t>(dim);
    check(!entry.dtype || elements * seesaw::size_bytes(*entry.dtype) == entry.end - entry.begin);
  }
  check(covered <= file.size() - 8);  // so no two share a byte
}

}  // namespace

/// The input is read twice: as a file, and as a header with the data behind its first zero byte, to
/// which the right length is put, because a fuzzer rarely keeps that in step.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  parse(input);
  const auto zero = std::find(input.begin(), input.end(), std::byte{0});
  const std::uint64_t header_length = static_cast<std::uint64_t>(zero - input.begin());
  std::string file(sizeof(header_length), '\0');
  std::memcpy(file.data(), &header_length, sizeof(header_length));
  file.append(reinterpret_cast<const char*>(data), size);
  if (zero != input.end()) file.erase(sizeof(header_length) + header_length, 1);
  parse(std::as_bytes(std::span(file)));
  return 0;
}
