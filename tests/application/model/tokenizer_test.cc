#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "application/model/golden.h"
#include "application/model/temp_folder.h"
#include "support/seed.h"

namespace seesaw::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kReplacement = "\xEF\xBF\xBD";

/// Text that comes out of a stream, and a check that no part of it ends within a character.
std::string stream(const std::string& bytes) {
  TextStream text;
  std::string all;
  for (const char byte : bytes) {
    const std::string piece = text.push(static_cast<unsigned char>(byte));
    if (!piece.empty()) {
      const auto lead = static_cast<unsigned char>(piece[0]);
      EXPECT_FALSE(lead >= 0x80 && lead < 0xC0) << "a piece begins within a character";
    }
    all += piece;
  }
  return all + text.finish();
}

TEST(ByteTokenizer, EncodesBytesBehindABeginToken) {
  const Config config = load_config(tiny_model_folder()).value();
  const auto tokenizer = ByteTokenizer::for_model(tiny_model_folder(), config);
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  EXPECT_THAT(tokenizer.value().encode("h\xC3\xA9"), ElementsAre(256, 'h', 0xC3, 0xA9));
  EXPECT_THAT(tokenizer.value().encode(""), ElementsAre(256));
}

TEST(ByteTokenizer, RefusesOtherVocabularies) {
  Config config;
  config.vocab_size = 32'000;
  const auto other = ByteTokenizer::for_model("some", config);
  EXPECT_EQ(other.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(other.status().message(), HasSubstr("some/config.json: vocab_size: is 32000"));
  const TempFolder folder;
  folder.write("tokenizer.json", "{}");
  config.vocab_size = 258;
  const auto with_file = ByteTokenizer::for_model(folder.path(), config);
  EXPECT_EQ(with_file.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(with_file.status().message(), HasSubstr("tokenizer.json: "));
}

TEST(TextStream, HoldsUnfinishedCharactersBack) {
  TextStream text;
  EXPECT_EQ(text.push('a'), "a");
  EXPECT_EQ(text.push(0xE2), "");
  EXPECT_EQ(text.push(0x82), "");
  EXPECT_EQ(text.push(0xAC), "\xE2\x82\xAC");
  EXPECT_EQ(text.finish(), "");
}

TEST(TextStream, PassesEveryCharacterThrough) {
  std::string all;
  for (const char32_t c : {U'\0', U'a', U'\x7F', U'\x80', U'\x7FF', U'\x800', U'\xD7FF', U'\xE000',
                           U'\xFFFF', U'\x10000', U'\x10FFFF'}) {
    if (c < 0x80) {
      all += static_cast<char>(c);
    } else if (c < 0x800) {
      all += {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      all += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)),
              static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      all += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)),
              static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
  }
  EXPECT_EQ(stream(all), all);
}

TEST(TextStream, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(stream("\x80"), kReplacement);         // continuation alone
  EXPECT_EQ(stream("\xFFz"), kReplacement + "z");  // never a lead
  EXPECT_EQ(stream("\xC0z"), kReplacement + "z");  // overlong lead
  EXPECT_EQ(stream("\xE2z"), kReplacement + "z");  // broken off
  EXPECT_EQ(stream("\xE2\x82z"), kReplacement + "z");
  EXPECT_EQ(stream("\xE2\xE2\x82\xAC"), kReplacement + "\xE2\x82\xAC");
  EXPECT_EQ(stream("\xED\xA0\x80"), kReplacement + kReplacement + kReplacement);  // surrogate
  EXPECT_EQ(stream("\xF4\x90"), kReplacement + kReplacement);                     // beyond U+10FFFF
  EXPECT_EQ(stream("a\xF0\x9F\x98"), "a" + kReplacement);                         // ends within
}

TEST(TextStream, EndTokenEndsACharacter) {
  TextStream text;
  EXPECT_EQ(text.push(0xE2), "");
  EXPECT_EQ(text.push(ByteTokenizer::kEnd), kReplacement);
  EXPECT_EQ(text.push(ByteTokenizer::kBegin), "");
  EXPECT_EQ(text.finish(), "");
}

/// Whatever bytes come, pieces never begin within a character and nothing stays behind.
TEST(TextStream, RandomBytesGiveWholeCharacters) {
  auto rng = testing::make_rng();
  for (int round = 0; round < 200; ++round) {
    std::string bytes;
    for (int i = 0; i < 40; ++i) bytes += static_cast<char>(testing::uniform(rng, 0, 255));
    const std::string text = stream(bytes);
    EXPECT_EQ(stream(text), text) << "the output is no UTF-8";
  }
}

}  // namespace
}  // namespace seesaw::model
