// Text to token ids and back, for models whose tokens are bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "seesaw/types/status.h"

namespace seesaw::model {

/// Ids 0-255 are the bytes of UTF-8 text, 256 begins a document, 257 ends it.
class ByteTokenizer {
 public:
  static constexpr std::int32_t kBegin = 256;
  static constexpr std::int32_t kEnd = 257;
  static constexpr std::int64_t kVocabSize = 258;

  /// The tokenizer of the model in `folder`. Errors: kUnsupported where the vocabulary is not 258
  /// tokens or the folder has a tokenizer of its own (tokenizer.json, tokenizer.model).
  static Result<ByteTokenizer> for_model(const std::filesystem::path& folder, const Config& config);

  /// The begin token, then the text's bytes.
  std::vector<std::int32_t> encode(std::string_view text) const;
};

/// Turns tokens into text as they come, never handing out a part of a character: bytes of an
/// unfinished UTF-8 character are held back; bytes that cannot be UTF-8 become U+FFFD.
class TextStream {
 public:
  /// The text that the token completes; often empty. Begin and end tokens have no text.
  std::string push(std::int32_t id);
  /// What was held back when no token follows: U+FFFD for an unfinished character, else nothing.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace seesaw::model
