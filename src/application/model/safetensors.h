// The safetensors format: an 8-byte little-endian header length, a JSON header that names dtype,
// shape and byte range of each tensor, then the tensors' bytes without a gap.
// Source: the format section of https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/mapped_file.h"
#include "seesaw/types/dtype.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

/// Longest JSON header that is read; the limit of the format's reference implementation.
inline constexpr std::size_t kMaxHeaderBytes = 100'000'000;

struct TensorEntry {
  std::string dtype_name;      // as the file spells it, e.g. "BF16"
  std::optional<DType> dtype;  // float32, bfloat16 and float16; nothing for the rest
  std::vector<std::int64_t> shape;
  std::size_t begin = 0;  // bytes [begin, end) of the file
  std::size_t end = 0;
};

/// One tensor's place in a mapped file.
struct TensorData {
  const std::byte* data = nullptr;  // no alignment promised
  DType dtype = DType::kFloat32;
  std::int64_t num_elements = 0;
};

using TensorTable = std::map<std::string, TensorEntry, std::less<>>;

/// Reads and checks a whole file's header. Refused with kCorruptData, naming file and tensor: a
/// header longer than the file or than kMaxHeaderBytes, JSON that is none, a name that stands
/// twice, an unknown dtype, a shape that is negative or too large, byte ranges that are reversed,
/// outside the file, overlapping, leave a gap or do not match dtype and shape.
Result<TensorTable> parse_safetensors(std::span<const std::byte> file, std::string_view file_name);

/// Reads the text of model.safetensors.index.json: tensor name -> file name. Refused with
/// kCorruptData: no weight_map, and values that are not plain file names.
Result<std::map<std::string, std::string, std::less<>>> parse_weight_map(
    std::string_view text, std::string_view file_name);

/// The tensors of a folder, in one file or in shards, mapped and not copied.
class Checkpoint {
 public:
  /// Opens folder/model.safetensors or, where there is none, every shard that
  /// folder/model.safetensors.index.json names.
  /// Errors: kIoError (neither is there, a shard is missing), kCorruptData (those of the two
  /// parsers; the index names a tensor that its shard lacks).
  static Result<Checkpoint> open(const std::filesystem::path& folder);

  bool has(std::string_view name) const { return owners_.find(name) != owners_.end(); }
  /// A floating-point tensor of exactly this shape.
  /// Errors: kCorruptData (missing, another shape), kUnsupported (another dtype).
  Result<TensorData> tensor(std::string_view name, std::span<const std::int64_t> shape) const;

  std::int64_t mapped_bytes() const noexcept;

 private:
  struct Shard {
    std::string name;
    MappedFile file;
    TensorTable table;
  };
  static Result<Shard> open_shard(const std::filesystem::path& path);
  Status add_single(const std::filesystem::path& path);
  Status add_indexed(const std::filesystem::path& folder, const std::filesystem::path& index);

  std::vector<Shard> shards_;
  std::map<std::string, std::size_t, std::less<>> owners_;  // tensor name -> index into shards_
  std::string source_name_;  // the file that lists the tensors, for messages
};

}  // namespace seesaw::model
