#include "model/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "model/json_fields.h"

namespace seesaw::model {
namespace {

using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
// With at most 2^48 elements and 8 bytes each, no product below can wrap.
constexpr std::int64_t kMaxElements = std::int64_t{1} << 48;

struct DTypeFacts {
  const char* name;
  std::size_t bytes;
  std::optional<DType> dtype;
};

constexpr std::array kDTypes = {
    DTypeFacts{"F32", 4, DType::kFloat32},  DTypeFacts{"BF16", 2, DType::kBFloat16},
    DTypeFacts{"F16", 2, DType::kFloat16},  DTypeFacts{"F64", 8, std::nullopt},
    DTypeFacts{"I64", 8, std::nullopt},     DTypeFacts{"U64", 8, std::nullopt},
    DTypeFacts{"I32", 4, std::nullopt},     DTypeFacts{"U32", 4, std::nullopt},
    DTypeFacts{"I16", 2, std::nullopt},     DTypeFacts{"U16", 2, std::nullopt},
    DTypeFacts{"I8", 1, std::nullopt},      DTypeFacts{"U8", 1, std::nullopt},
    DTypeFacts{"BOOL", 1, std::nullopt},    DTypeFacts{"F8_E4M3", 1, std::nullopt},
    DTypeFacts{"F8_E5M2", 1, std::nullopt}, DTypeFacts{"F8_E8M0", 1, std::nullopt},
    DTypeFacts{"C64", 8, std::nullopt},
};

const DTypeFacts* find_dtype(std::string_view name) {
  const auto* found = std::find_if(kDTypes.begin(), kDTypes.end(),
                                   [&](const DTypeFacts& facts) { return name == facts.name; });
  return found == kDTypes.end() ? nullptr : found;
}

Status corrupt(std::string_view file_name, std::string_view field, std::string_view problem) {
  return {StatusCode::kCorruptData, fmt::format("{}: {}: {}", file_name, field, problem)};
}

/// The header's text, checked against the file's size.
Result<std::string_view> header_text(std::span<const std::byte> file, std::string_view file_name) {
  if (file.size() < kLengthBytes) {
    return corrupt(file_name, "header length",
                   fmt::format("the file has {} bytes, must have at least 8", file.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  }
  if (length > file.size() - kLengthBytes) {
    return corrupt(file_name, "header length",
                   fmt::format("is {}, must be <= {}, the bytes that follow it in the file", length,
                               file.size() - kLengthBytes));
  }
  if (length > kMaxHeaderBytes) {
    return corrupt(file_name, "header length",
                   fmt::format("is {}, must be <= {}", length, kMaxHeaderBytes));
  }
  const auto* text = reinterpret_cast<const char*>(file.data() + kLengthBytes);
  return std::string_view(text, static_cast<std::size_t>(length));
}

Result<std::vector<std::int64_t>> read_shape(const json& value, std::string_view file_name,
                                             const std::string& tensor) {
  const std::string field = tensor + ".shape";
  if (!value.is_array()) {
    return corrupt(file_name, field, fmt::format("is {}, must be a list", describe(value)));
  }
  std::vector<std::int64_t> shape;
  for (const json& dim : value) {
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > std::uint64_t{kMaxElements}) {
      return corrupt(file_name, field,
                     fmt::format("[{}] is {}, must be an integer from 0 to {}", shape.size(),
                                 describe(dim), kMaxElements));
    }
    shape.push_back(dim.get<std::int64_t>());
  }
  return shape;
}

/// Elements of a shape; nothing where there are more than kMaxElements.
std::optional<std::int64_t> count_elements(std::span<const std::int64_t> shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t count = 1;
  for (std::int64_t dim : shape) {
    if (count > kMaxElements / dim) return std::nullopt;
    count *= dim;
  }
  return count;
}

/// Sets begin and end (of the file) from data_offsets (of the bytes behind the header).
Status read_range(const json& value, std::size_t data_start, std::size_t data_bytes,
                  std::string_view file_name, const std::string& tensor, TensorEntry& entry) {
  const std::string field = tensor + ".data_offsets";
  if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
      !value[1].is_number_unsigned()) {
    return corrupt(file_name, field, "must be two integers >= 0");
  }
  const auto begin = value[0].get<std::uint64_t>();
  const auto end = value[1].get<std::uint64_t>();
  if (begin > end || end > data_bytes) {
    return corrupt(file_name, field,
                   fmt::format("is [{}, {}], must rise and end within the {} bytes of data", begin,
                               end, data_bytes));
  }
  entry.begin = data_start + static_cast<std::size_t>(begin);
  entry.end = data_start + static_cast<std::size_t>(end);
  return Status::ok();
}

Result<TensorEntry> read_entry(const json& value, std::size_t data_start, std::size_t data_bytes,
                               std::string_view file_name, const std::string& tensor) {
  JsonFields fields(value, file_name, tensor + ".");
  TensorEntry entry;
  entry.dtype_name = fields.text("dtype");
  if (!fields.status()) return fields.status();
  const DTypeFacts* facts = find_dtype(entry.dtype_name);
  if (facts == nullptr) {
    fields.refuse(StatusCode::kCorruptData, "dtype", "one of the format's types, e.g. \"BF16\"");
    return fields.status();
  }
  entry.dtype = facts->dtype;
  auto shape = read_shape(fields.raw("shape"), file_name, tensor);
  if (!shape) return shape.status();
  entry.shape = std::move(shape).value();
  const auto count = count_elements(entry.shape);
  if (!count) {
    return corrupt(file_name, tensor + ".shape",
                   fmt::format("is [{}], must have at most {} elements",
                               fmt::join(entry.shape, ", "), kMaxElements));
  }
  const Status range =
      read_range(fields.raw("data_offsets"), data_start, data_bytes, file_name, tensor, entry);
  if (!range) return range;
  const std::size_t expected = static_cast<std::size_t>(*count) * facts->bytes;
  if (entry.end - entry.begin != expected) {
    return corrupt(file_name, tensor + ".data_offsets",
                   fmt::format("span {} bytes, must be {} for {} [{}]", entry.end - entry.begin,
                               expected, entry.dtype_name, fmt::join(entry.shape, ", ")));
  }
  return entry;
}

/// The tensors must cover the data exactly: each byte belongs to one.
Status check_cover(const TensorTable& table, std::size_t data_start, std::size_t file_bytes,
                   std::string_view file_name) {
  std::vector<const TensorTable::value_type*> order;
  order.reserve(table.size());
  for (const auto& item : table) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::size_t covered = data_start;
  const std::string* last = nullptr;
  for (const auto* item : order) {
    const auto& [name, entry] = *item;
    if (entry.begin < covered) {
      return corrupt(file_name, name + ".data_offsets",
                     fmt::format("begin at {}, overlap with {}, which ends at {}",
                                 entry.begin - data_start, *last, covered - data_start));
    }
    if (entry.begin > covered) {
      return corrupt(file_name, name + ".data_offsets",
                     fmt::format("begin at {}, must begin at {}: the format allows no gap",
                                 entry.begin - data_start, covered - data_start));
    }
    covered = entry.end;
    last = &name;
  }
  if (covered != file_bytes) {
    return corrupt(
        file_name, "data",
        fmt::format("{} bytes behind the last tensor belong to none", file_bytes - covered));
  }
  return Status::ok();
}

Status check_metadata(const json& value, std::string_view file_name) {
  const bool is_text_map =
      value.is_object() &&
      std::all_of(value.begin(), value.end(), [](const json& item) { return item.is_string(); });
  if (is_text_map) return Status::ok();
  return corrupt(file_name, "__metadata__", "must be an object of strings");
}

}  // namespace

Result<TensorTable> parse_safetensors(std::span<const std::byte> file, std::string_view file_name) {
  const auto text = header_text(file, file_name);
  if (!text) return text.status();
  const auto header = parse_json(text.value(), fmt::format("{}: header", file_name));
  if (!header) return header.status();
  if (!header.value().is_object()) {
    return corrupt(file_name, "header",
                   fmt::format("is {}, must be an object", describe(header.value())));
  }
  const std::size_t data_start = kLengthBytes + text.value().size();
  TensorTable table;
  for (const auto& [name, value] : header.value().items()) {
    if (name == "__metadata__") {
      if (Status status = check_metadata(value, file_name); !status) return status;
      continue;
    }
    auto entry = read_entry(value, data_start, file.size() - data_start, file_name, name);
    if (!entry) return entry.status();
    table.emplace(name, std::move(entry).value());
  }
  if (Status status = check_cover(table, data_start, file.size(), file_name); !status) {
    return status;
  }
  return table;
}

Result<std::map<std::string, std::string, std::less<>>> parse_weight_map(
    std::string_view text, std::string_view file_name) {
  const auto document = parse_json(text, file_name);
  if (!document) return document.status();
  JsonFields fields(document.value(), file_name);
  const json& weight_map = fields.raw("weight_map");
  if (fields.status() && !weight_map.is_object()) {
    fields.refuse(StatusCode::kCorruptData, "weight_map", "an object: tensor name to file name");
  }
  if (!fields.status()) return fields.status();
  std::map<std::string, std::string, std::less<>> shards;
  for (const auto& [tensor, value] : weight_map.items()) {
    const std::string shard = value.is_string() ? value.get<std::string>() : "";
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      return corrupt(
          file_name, "weight_map." + tensor,
          fmt::format("is {}, must be the name of a file in the folder", describe(value)));
    }
    shards.emplace(tensor, shard);
  }
  return shards;
}

Result<Checkpoint::Shard> Checkpoint::open_shard(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  if (!file) return file.status();
  auto table = parse_safetensors(file.value().bytes(), path.string());
  if (!table) return table.status();
  return Shard{path.string(), std::move(file).value(), std::move(table).value()};
}

Status Checkpoint::add_single(const std::filesystem::path& path) {
  auto shard = open_shard(path);
  if (!shard) return shard.status();
  shards_.push_back(std::move(shard).value());
  for (const auto& item : shards_.back().table) owners_.emplace(item.first, 0);
  source_name_ = path.string();
  return Status::ok();
}

Status Checkpoint::add_indexed(const std::filesystem::path& folder,
                               const std::filesystem::path& index) {
  const auto file = MappedFile::open(index);
  if (!file) return file.status();
  const auto weight_map = parse_weight_map(file.value().text(), index.string());
  if (!weight_map) return weight_map.status();
  source_name_ = index.string();
  std::map<std::string, std::size_t> shard_idx;
  for (const auto& [tensor, shard_name] : weight_map.value()) {
    auto known = shard_idx.find(shard_name);
    if (known == shard_idx.end()) {
      auto shard = open_shard(folder / shard_name);
      if (!shard) {
        return {shard.status().code(), fmt::format("{} (named by {}: weight_map.{})",
                                                   shard.status().message(), source_name_, tensor)};
      }
      known = shard_idx.emplace(shard_name, shards_.size()).first;
      shards_.push_back(std::move(shard).value());
    }
    if (!shards_[known->second].table.contains(tensor)) {
      return corrupt(source_name_, "weight_map." + tensor,
                     fmt::format("names {}, which lacks this tensor", shard_name));
    }
    owners_.emplace(tensor, known->second);
  }
  return Status::ok();
}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& folder) {
  Checkpoint checkpoint;
  const auto single = folder / "model.safetensors";
  const auto index = folder / "model.safetensors.index.json";
  std::error_code ignored;  // what cannot be examined counts as absent; opening says why
  if (std::filesystem::exists(single, ignored)) {
    if (Status status = checkpoint.add_single(single); !status) return status;
  } else if (std::filesystem::exists(index, ignored)) {
    if (Status status = checkpoint.add_indexed(folder, index); !status) return status;
  } else {
    return Status(StatusCode::kIoError,
                  fmt::format("{}: has neither model.safetensors nor model.safetensors.index.json",
                              folder.string()));
  }
  return checkpoint;
}

Result<TensorData> Checkpoint::tensor(std::string_view name,
                                      std::span<const std::int64_t> shape) const {
  const auto owner = owners_.find(name);
  if (owner == owners_.end()) return corrupt(source_name_, name, "this tensor is missing");
  const Shard& shard = shards_[owner->second];
  const TensorEntry& entry = shard.table.find(name)->second;
  if (!std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    return corrupt(shard.name, fmt::format("{}.shape", name),
                   fmt::format("is [{}], must be [{}] as config.json has it",
                               fmt::join(entry.shape, ", "), fmt::join(shape, ", ")));
  }
  if (!entry.dtype) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: {}.dtype: is {}, must be F32, BF16 or F16", shard.name, name,
                              entry.dtype_name));
  }
  return TensorData{shard.file.bytes().data() + entry.begin, *entry.dtype,
                    *count_elements(entry.shape)};
}

std::int64_t Checkpoint::mapped_bytes() const noexcept {
  std::int64_t bytes = 0;
  for (const Shard& shard : shards_) bytes += static_cast<std::int64_t>(shard.file.bytes().size());
  return bytes;
}

}  // namespace seesaw::model
