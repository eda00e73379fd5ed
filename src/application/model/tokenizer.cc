#include "model/tokenizer.h"

#include <fmt/format.h>

#include <cstddef>
#include <system_error>

namespace seesaw::model {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8 { kComplete, kUnfinished, kInvalid };

bool is_in(unsigned char byte, unsigned char low, unsigned char high) {
  return byte >= low && byte <= high;
}

/// Bytes that a character starting with `lead` has; 0 where none starts so.
std::size_t length_of(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (is_in(lead, 0xC2, 0xDF)) return 2;  // C0 and C1 would be overlong
  if (is_in(lead, 0xE0, 0xEF)) return 3;
  if (is_in(lead, 0xF0, 0xF4)) return 4;  // F5 and more lie behind U+10FFFF
  return 0;
}

/// Whether `second` may follow `lead`: refuses overlong forms, surrogates, beyond U+10FFFF.
bool may_follow(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return is_in(second, 0xA0, 0xBF);
    case 0xED:
      return is_in(second, 0x80, 0x9F);
    case 0xF0:
      return is_in(second, 0x90, 0xBF);
    case 0xF4:
      return is_in(second, 0x80, 0x8F);
    default:
      return is_in(second, 0x80, 0xBF);
  }
}

Utf8 classify(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const std::size_t length = length_of(lead);
  if (length == 0) return Utf8::kInvalid;
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (i == 1 ? !may_follow(lead, byte) : !is_in(byte, 0x80, 0xBF)) return Utf8::kInvalid;
  }
  return bytes.size() == length ? Utf8::kComplete : Utf8::kUnfinished;
}

}  // namespace

Result<ByteTokenizer> ByteTokenizer::for_model(const std::filesystem::path& folder,
                                               const Config& config) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / name, ignored)) continue;
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: tokenizer files are not supported, only models whose tokens are "
                              "bytes; token ids work with every model",
                              (folder / name).string()));
  }
  if (config.vocab_size != kVocabSize) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: vocab_size: is {}, must be {} (bytes, begin, end) for text; "
                              "token ids work with every model",
                              (folder / "config.json").string(), config.vocab_size, kVocabSize));
  }
  return ByteTokenizer();
}

std::vector<std::int32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids{kBegin};
  ids.reserve(text.size() + 1);
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string TextStream::push(std::int32_t id) {
  if (id < 0 || id > 255) return finish();  // begin, end: an unfinished character ends here too
  std::string text;
  pending_.push_back(static_cast<char>(id));
  Utf8 kind = classify(pending_);
  if (kind == Utf8::kInvalid && pending_.size() > 1) {
    // What was held back is broken off; the byte that broke it may start a character itself.
    text = kReplacement;
    pending_.erase(0, pending_.size() - 1);
    kind = classify(pending_);
  }
  if (kind == Utf8::kInvalid) {
    text += kReplacement;
    pending_.clear();
  } else if (kind == Utf8::kComplete) {
    text += pending_;
    pending_.clear();
  }
  return text;
}

std::string TextStream::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return std::string(kReplacement);
}

}  // namespace seesaw::model
