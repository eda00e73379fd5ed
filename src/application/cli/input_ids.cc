#include "cli/input_ids.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "model/json_fields.h"

namespace seesaw::cli {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{16}
                                      << 20;  // more ids than any model has positions

Status corrupt(std::string message) { return {StatusCode::kCorruptData, std::move(message)}; }

/// Streams, so that a pipe is as good as a file.
Result<std::string> read_text(const std::filesystem::path& path) {
  const auto failed = [&path] {
    return Status(StatusCode::kIoError,
                  fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  };
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return failed();
  std::string text;
  std::vector<char> block(std::size_t{1} << 16);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMaxFileBytes) {
      return corrupt(fmt::format("{}: is longer than {} bytes", path.string(), kMaxFileBytes));
    }
  }
  if (file.bad()) return failed();
  return text;
}

}  // namespace

Result<std::vector<std::int32_t>> read_input_ids(const std::filesystem::path& path,
                                                 const model::Config& config) {
  const std::string name = path.string();
  const auto text = read_text(path);
  if (!text) return text.status();
  const auto parsed = model::parse_json(text.value(), name);
  if (!parsed) return parsed.status();
  const nlohmann::json& list = parsed.value();
  if (!list.is_array()) {
    return corrupt(
        fmt::format("{}: is {}, must be a list of token ids", name, model::describe(list)));
  }
  if (list.empty() || list.size() > static_cast<std::size_t>(config.max_positions)) {
    return corrupt(fmt::format("{}: has {} ids, must have from 1 to {} (max_position_embeddings)",
                               name, list.size(), config.max_positions));
  }
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const nlohmann::json& id = list[i];
    // Unsigned: nlohmann's type of every integer that is not negative.
    if (!id.is_number_unsigned() ||
        id.get<std::uint64_t>() >= static_cast<std::uint64_t>(config.vocab_size)) {
      return corrupt(
          fmt::format("{}: [{}]: is {}, must be an integer from 0 to {} (vocab_size - 1)", name, i,
                      model::describe(id), config.vocab_size - 1));
    }
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

}  // namespace seesaw::cli
