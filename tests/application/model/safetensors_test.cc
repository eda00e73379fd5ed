// Broken checkpoint files: each a clear error that names file and field, and nothing read.
#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "application/model/random_model.h"
#include "application/model/safetensors_writer.h"
#include "application/model/temp_folder.h"
#include "model/model.h"
#include "support/seed.h"

namespace seesaw::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// A header of one tensor "w" with these fields.
std::string tensor_header(const std::string& dtype, const std::string& shape,
                          const std::string& offsets) {
  return R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

TEST(Safetensors, ReadsWhatWasWritten) {
  auto rng = testing::make_rng();
  NamedTensors tensors;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    NamedTensor tensor{{testing::uniform(rng, 1, 5), testing::uniform(rng, 1, 5)}, {}, dtype};
    for (std::int64_t i = 0; i < tensor.shape[0] * tensor.shape[1]; ++i) {
      tensor.values.push_back(static_cast<float>(testing::uniform(rng, -100, 100)));
    }
    tensors[to_string(dtype)] = tensor;
  }
  tensors["empty"] = {{0, 3}, {}, DType::kFloat32};
  const std::string file = make_file(tensors);
  const auto table = parse_safetensors(as_bytes(file), "f");
  ASSERT_TRUE(table.is_ok()) << table.status().message();
  ASSERT_EQ(table.value().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const TensorEntry& entry = table.value().at(name);
    EXPECT_EQ(entry.shape, tensor.shape);
    EXPECT_EQ(entry.dtype, tensor.dtype);
    EXPECT_EQ(entry.end - entry.begin, tensor.values.size() * size_bytes(tensor.dtype));
  }
  const TensorEntry& entry = table.value().at("float32");
  EXPECT_EQ(std::memcmp(file.data() + entry.begin, tensors["float32"].values.data(),
                        entry.end - entry.begin),
            0);
}

struct BadFile {
  std::string name;
  std::string content;
  std::string field;    // that the message names
  std::string problem;  // that it states
};

std::ostream& operator<<(std::ostream& out, const BadFile& bad) { return out << bad.name; }

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  return file + rest;
}

std::vector<BadFile> make_bad_files() {
  const std::string data(16, '\0');
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return make_file(tensor_header(dtype, shape, offsets), data);
  };
  const auto two = [&](const std::string& a, const std::string& b) {
    return make_file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
                         R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}",
                     data);
  };
  std::string deep(40, '[');
  return {
      {"Empty", "", "header length", "has 0 bytes"},
      {"ShorterThanALength", "1234567", "header length", "has 7 bytes"},
      {"HeaderLongerThanFile", with_length(100, "{}"), "header length", "is 100, must be <= 2"},
      {"LargestLength", with_length(UINT64_MAX, "{}"), "header length", "must be <= 2"},
      {"NotJson", make_file("{\"w\":", ""), "header", "is not JSON"},
      {"EmptyHeader", make_file("", ""), "header", "is not JSON"},
      {"NotUtf8", make_file("{\"\xff\":1}", ""), "header", "is not JSON"},
      {"BehindTheJson", make_file("{} {}", ""), "header", "is not JSON"},
      {"NotAnObject", make_file("[]", ""), "header", "must be an object"},
      {"TooDeep", make_file("{\"w\":" + deep, ""), "header", "nests deeper than 32"},
      {"NameTwice", make_file(R"({"w":{},"w":{}})", ""), "header", "\"w\" stands twice"},
      {"FieldTwice", make_file(R"({"w":{"dtype":"F32","dtype":"F16"}})", ""), "header",
       "\"dtype\" stands twice"},
      {"TensorNotAnObject", make_file(R"({"w":3})", ""), "w", "is 3, must be an object"},
      {"MetadataNotStrings", make_file(R"({"__metadata__":{"a":1}})", ""), "__metadata__",
       "must be an object of strings"},
      {"DtypeMissing", make_file(R"({"w":{"shape":[],"data_offsets":[0,0]}})", ""), "w.dtype",
       "is missing"},
      {"DtypeUnknown", one("\"F33\"", "[4]", "[0,16]"), "w.dtype", "is \"F33\""},
      {"DtypeNotAString", one("7", "[4]", "[0,16]"), "w.dtype", "is 7, must be a string"},
      {"ShapeMissing", make_file(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", data), "w.shape",
       "must be a list"},
      {"ShapeNegative", one("\"F32\"", "[-4]", "[0,16]"), "w.shape", "[0] is -4"},
      {"ShapeNotInteger", one("\"F32\"", "[4,1.5]", "[0,16]"), "w.shape", "[1] is 1.5"},
      {"ShapeNotAList", one("\"F32\"", "4", "[0,16]"), "w.shape", "is 4"},
      {"ShapeOverflows", one("\"F32\"", "[4294967296,4294967296]", "[0,16]"), "w.shape",
       "must have at most"},
      {"DimensionOverflows", one("\"F32\"", "[18446744073709551615]", "[0,16]"), "w.shape",
       "[0] is 18446744073709551615"},
      {"OffsetsMissing", make_file(R"({"w":{"dtype":"F32","shape":[4]}})", data), "w.data_offsets",
       "must be two integers"},
      {"OffsetsThree", one("\"F32\"", "[4]", "[0,8,16]"), "w.data_offsets", "must be two integers"},
      {"OffsetsNegative", one("\"F32\"", "[4]", "[-16,0]"), "w.data_offsets",
       "must be two integers"},
      {"OffsetsReversed", one("\"F32\"", "[4]", "[16,0]"), "w.data_offsets", "is [16, 0]"},
      {"OffsetsBehindFile", one("\"F32\"", "[5]", "[0,20]"), "w.data_offsets",
       "within the 16 bytes"},
      {"OffsetsHuge", one("\"F32\"", "[4]", "[18446744073709551599,18446744073709551615]"),
       "w.data_offsets", "within the 16 bytes"},
      {"SizeDiffers", one("\"F32\"", "[3]", "[0,16]"), "w.data_offsets",
       "span 16 bytes, must be 12 for F32 [3]"},
      {"SizeDiffersByDtype", one("\"BF16\"", "[4]", "[0,16]"), "w.data_offsets", "must be 8"},
      {"Overlap", two("[0,8]", "[4,12]"), "b.data_offsets", "overlap with a"},
      {"SameBytes", two("[0,8]", "[0,8]"), "b.data_offsets", "overlap with a"},
      {"Gap", make_file(tensor_header("\"F32\"", "[2]", "[8,16]"), data), "w.data_offsets",
       "must begin at 0"},
      {"BytesBehind", one("\"F32\"", "[2]", "[0,8]"), "data", "8 bytes behind the last tensor"},
  };
}

class BadSafetensors : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensors, IsRefusedByNameAndField) {
  const BadFile& bad = GetParam();
  const auto table = parse_safetensors(as_bytes(bad.content), "some/file.safetensors");
  ASSERT_FALSE(table.is_ok());
  EXPECT_EQ(table.status().code(), StatusCode::kCorruptData);
  EXPECT_THAT(table.status().message(),
              AllOf(HasSubstr("some/file.safetensors: " + bad.field), HasSubstr(bad.problem)));
}

INSTANTIATE_TEST_SUITE_P(Files, BadSafetensors, ::testing::ValuesIn(make_bad_files()),
                         [](const auto& instance) { return instance.param.name; });

/// No prefix of a good file is a good file, and none is read beyond its end (under ASan).
TEST(Safetensors, RefusesEveryTruncation) {
  const std::string file =
      make_file({{"a", {{3}, {1, 2, 3}, DType::kFloat32}}, {"b", {{2}, {4, 5}, DType::kBFloat16}}});
  for (std::size_t length = 0; length < file.size(); ++length) {
    const std::vector<char> prefix(file.begin(),
                                   file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(parse_safetensors(std::as_bytes(std::span(prefix)), "f").is_ok()) << length;
  }
}

TEST(Safetensors, RefusesAHeaderBeyondTheLimit) {
  const std::string file = with_length(kMaxHeaderBytes + 1, std::string(kMaxHeaderBytes + 1, ' '));
  const auto table = parse_safetensors(as_bytes(file), "f");
  ASSERT_FALSE(table.is_ok());
  EXPECT_THAT(table.status().message(), HasSubstr("must be <= 100000000"));
}

TEST(WeightMap, RefusesWhatIsNoPlainFileName) {
  for (const char* name : {"\"\"", "\"../secret\"", "\"/etc/passwd\"", "\"..\"", "\".\"",
                           "\"a\\u0000b\"", "7", "null", "[]"}) {
    const std::string text = R"({"weight_map":{"layer.w":)" + std::string(name) + "}}";
    const auto map = parse_weight_map(text, "index.json");
    ASSERT_FALSE(map.is_ok()) << name;
    EXPECT_THAT(map.status().message(), HasSubstr("index.json: weight_map.layer.w: is "));
  }
  for (const char* text : {"{}", R"({"weight_map":[]})", R"({"weight_map":null})", "[]", ""}) {
    const auto map = parse_weight_map(text, "index.json");
    ASSERT_FALSE(map.is_ok()) << text;
    EXPECT_THAT(map.status().message(), HasSubstr("index.json: "));
  }
}

/// A small model on disk, of which a test breaks one thing.
class BrokenFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    auto rng = testing::make_rng();
    weights_ = make_weights(spec_, rng);
  }
  void write(int num_shards) { write_model(folder_.path(), spec_, weights_, num_shards); }
  Status load() const { return Model::load(folder_.path()).status(); }
  std::string path_of(const std::string& name) const { return (folder_.path() / name).string(); }

  ModelSpec spec_{.name = "model", .layers = 1, .dtype = DType::kFloat32};
  NamedTensors weights_;
  TempFolder folder_;
};

TEST_F(BrokenFolder, LoadsWhenWhole) {
  write(1);
  EXPECT_TRUE(load().is_ok()) << load().message();
}

TEST_F(BrokenFolder, NoFolder) {
  const Status status = Model::load(folder_.path() / "absent").status();
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_THAT(status.message(), HasSubstr(path_of("absent/config.json") + ": cannot be opened"));
}

TEST_F(BrokenFolder, NoWeights) {
  write(1);
  std::filesystem::remove(path_of("model.safetensors"));
  EXPECT_EQ(load().code(), StatusCode::kIoError);
  EXPECT_THAT(load().message(), HasSubstr("neither model.safetensors nor "));
}

TEST_F(BrokenFolder, WeightsAreAFolder) {
  write(1);
  std::filesystem::remove(path_of("model.safetensors"));
  std::filesystem::create_directory(path_of("model.safetensors"));
  EXPECT_EQ(load().code(), StatusCode::kIoError);
  EXPECT_THAT(load().message(), HasSubstr("model.safetensors: is not a regular file"));
}

TEST_F(BrokenFolder, WeightsAreAPipe) {  // which would wait for a writer for ever
  write(1);
  std::filesystem::remove(path_of("model.safetensors"));
  ASSERT_EQ(::mkfifo(path_of("model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(load().message(), HasSubstr("model.safetensors: is not a regular file"));
}

TEST_F(BrokenFolder, MissingShard) {
  write(3);
  std::filesystem::remove(path_of("model-1.safetensors"));
  EXPECT_EQ(load().code(), StatusCode::kIoError);
  EXPECT_THAT(load().message(),
              AllOf(HasSubstr(path_of("model-1.safetensors") + ": cannot be opened"),
                    HasSubstr("model.safetensors.index.json: weight_map.")));
}

TEST_F(BrokenFolder, TruncatedShard) {
  write(3);
  const auto shard = path_of("model-2.safetensors");
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 4);
  EXPECT_EQ(load().code(), StatusCode::kCorruptData);
  EXPECT_THAT(load().message(), AllOf(HasSubstr(shard), HasSubstr(".data_offsets: ")));
}

TEST_F(BrokenFolder, IndexNamesATensorThatItsShardLacks) {
  write(3);
  folder_.write("model.safetensors.index.json",
                R"({"weight_map":{"model.norm.bias":"model-0.safetensors"}})");
  EXPECT_EQ(load().code(), StatusCode::kCorruptData);
  EXPECT_THAT(load().message(),
              HasSubstr("index.json: weight_map.model.norm.bias: names model-0.safetensors, which "
                        "lacks this tensor"));
}

TEST_F(BrokenFolder, MissingTensor) {
  weights_.erase("model.layers.0.self_attn.o_proj.weight");
  for (const int num_shards : {1, 2}) {
    write(num_shards);
    EXPECT_EQ(load().code(), StatusCode::kCorruptData);
    EXPECT_THAT(load().message(), AllOf(HasSubstr(folder_.path().string()),
                                        HasSubstr(": model.layers.0.self_attn.o_proj.weight: ")));
    std::filesystem::remove(path_of("model.safetensors"));
  }
}

TEST_F(BrokenFolder, WrongShape) {
  NamedTensor& tensor = weights_.at("model.layers.0.mlp.up_proj.weight");
  std::swap(tensor.shape[0], tensor.shape[1]);
  write(1);
  EXPECT_EQ(load().code(), StatusCode::kCorruptData);
  EXPECT_THAT(
      load().message(),
      HasSubstr(path_of("model.safetensors") +
                ": model.layers.0.mlp.up_proj.weight.shape: is [48, 56], must be [56, 48]"));
}

TEST_F(BrokenFolder, WrongRank) {
  weights_.at("model.norm.weight").shape = {1, 48};
  write(1);
  EXPECT_THAT(load().message(), HasSubstr("model.norm.weight.shape: is [1, 48], must be [48]"));
}

TEST_F(BrokenFolder, WrongDtype) {
  write(1);
  std::string file = make_file(weights_);
  // Same width, other meaning: the first tensor becomes integers.
  file.replace(file.find("\"F32\""), 5, "\"I32\"");
  folder_.write("model.safetensors", file);
  EXPECT_EQ(load().code(), StatusCode::kUnsupported);
  EXPECT_THAT(load().message(),
              AllOf(HasSubstr("model.safetensors: "), HasSubstr(".dtype: is I32, must be F32")));
}

TEST_F(BrokenFolder, MisalignedFloatsAreCopied) {
  write(1);
  const std::string file = make_file(weights_);
  const auto header_length = static_cast<std::size_t>(static_cast<unsigned char>(file[0])) |
                             static_cast<std::size_t>(static_cast<unsigned char>(file[1])) << 8;
  const std::string header = file.substr(8, header_length);
  for (std::size_t pad = 0; pad < 4; ++pad) {  // the format allows spaces behind the JSON
    folder_.write("model.safetensors",
                  make_file(header + std::string(pad, ' '), file.substr(8 + header_length)));
    const auto model = Model::load(folder_.path());
    ASSERT_TRUE(model.is_ok()) << model.status().message();
    const bool is_aligned = (header_length + pad) % 4 == 0;
    EXPECT_EQ(model.value().widened_bytes() == 0, is_aligned);
  }
}

}  // namespace
}  // namespace seesaw::model
