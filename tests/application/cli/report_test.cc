// What the command line prints and writes with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "report/npy_file.h"
#include "report/progress.h"
#include "report/samples.h"
#include "report/table.h"
#include "report/units.h"
#include "report/whole_file.h"

namespace seesaw::report {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(UnitsTest, Commas) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(-123), "-123");
  EXPECT_EQ(with_commas(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(UnitsTest, ThreeDigits) {
  EXPECT_EQ(three_digits(0.0), "0");
  EXPECT_EQ(three_digits(0.00123456), "0.00123");
  EXPECT_EQ(three_digits(1.2345), "1.23");
  EXPECT_EQ(three_digits(9.996), "10.0");
  EXPECT_EQ(three_digits(12.345), "12.3");
  EXPECT_EQ(three_digits(99.96), "100");
  EXPECT_EQ(three_digits(1234567.8), "1,234,568");
  EXPECT_EQ(three_digits(-1234.0), "-1,234");
  EXPECT_EQ(three_digits(1e30), "1000000000000000019884624838656.0");
  EXPECT_EQ(three_digits(std::numeric_limits<double>::infinity()), "inf");
}

TEST(UnitsTest, Bytes) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1 KiB");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(bytes_text((std::int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(bytes_text(std::int64_t{32} << 20), "32 MiB");
  EXPECT_EQ(bytes_text(std::numeric_limits<std::int64_t>::max()), "8192 PiB");
}

TEST(UnitsTest, Seconds) {
  EXPECT_EQ(seconds_text(0.0), "0 ns");
  EXPECT_EQ(seconds_text(12.3e-6), "12.3 us");
  EXPECT_EQ(seconds_text(0.9996e-3), "1.00 ms");
  EXPECT_EQ(seconds_text(0.5), "500 ms");
  EXPECT_EQ(seconds_text(7.891), "7.89 s");
  EXPECT_EQ(seconds_text(125.2), "2 min 5 s");
}

TEST(UnitsTest, Counted) {
  EXPECT_EQ(counted(1, "thread"), "1 thread");
  EXPECT_EQ(counted(0, "thread"), "0 threads");
  EXPECT_EQ(counted(2000, "thread"), "2,000 threads");
}

TEST(TableTest, AlignsColumnsByCharactersAndTrimsLines) {
  Table table({{"name", Align::kLeft}, {"size", Align::kRight}, {"note", Align::kLeft}});
  table.add_row({"\xC3\xA9t\xC3\xA9", "1,000", "x"});  // two letters of two bytes each
  table.add_row({"longer name", "5"});
  EXPECT_EQ(table.text(),
            "name          size  note\n"
            "\xC3\xA9t\xC3\xA9          1,000  x\n"
            "longer name      5\n");
}

TEST(TableTest, HasNoHeadingLineWithoutHeadings) {
  Table table({{"", Align::kLeft}, {"", Align::kLeft}});
  EXPECT_EQ(table.text(), "");
  table.add_row({"a", "b"});
  EXPECT_EQ(table.text(), "a  b\n");
}

TEST(SamplesTest, Summary) {
  EXPECT_EQ(summarize({}).count, 0u);
  const Summary odd = summarize(std::array{5.0, 1.0, 3.0});
  EXPECT_EQ(odd.count, 3u);
  EXPECT_EQ(odd.least, 1.0);
  EXPECT_EQ(odd.median, 3.0);
  EXPECT_EQ(odd.most, 5.0);
  EXPECT_EQ(summarize(std::array{4.0, 1.0, 2.0, 100.0}).median, 3.0);
}

TEST(ProgressTest, LineShowsTheShare) {
  EXPECT_EQ(progress_line("work", 0.5, 1.5, 37), "work [########........]  50 %  1.50 s");
  EXPECT_EQ(progress_line("work", 0.999, 0.0, 30), "work [##########.]  99 %  0 ns");
  EXPECT_EQ(progress_line("work", 2.0, 0.0, 29), "work [##########] 100 %  0 ns");
  EXPECT_THAT(progress_line("work", std::numeric_limits<double>::quiet_NaN(), 0.0, 80),
              HasSubstr("  0 %"));
}

TEST(ProgressTest, LineNeverExceedsTheWidth) {
  for (int width = -1; width < 120; ++width) {
    const std::string line = progress_line("a label of some length", 0.3, 75.0, width);
    EXPECT_LE(static_cast<int>(line.size()), std::max(width, 0));
  }
}

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "seesaw-report-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }

  std::string content(const char* name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  fs::path folder_;
};

TEST_F(FileTest, AppearsWhenItIsWhole) {
  auto file = WholeFile::create(folder_ / "out");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file.value().write(bytes("one ")));
  ASSERT_TRUE(file.value().write(bytes("two")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  ASSERT_TRUE(file.value().commit());
  EXPECT_EQ(content("out"), "one two");
  EXPECT_THAT(names(), ElementsAre("out"));
}

TEST_F(FileTest, LeavesWhatStoodThereUnlessCommitted) {
  std::ofstream(folder_ / "out") << "old";
  {
    auto file = WholeFile::create(folder_ / "out");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file.value().write(bytes("new")));
    WholeFile moved = std::move(file).value();  // one owner removes it, not two
    EXPECT_EQ(content("out"), "old");
  }
  EXPECT_EQ(content("out"), "old");
  EXPECT_THAT(names(), ElementsAre("out"));
}

TEST_F(FileTest, TwoWritersOfOneFileDoNotMix) {
  auto first = WholeFile::create(folder_ / "out");
  auto second = WholeFile::create(folder_ / "out");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first.value().write(bytes("first")));
  ASSERT_TRUE(second.value().write(bytes("second")));
  ASSERT_TRUE(second.value().commit());
  ASSERT_TRUE(first.value().commit());
  EXPECT_EQ(content("out"), "first");
  EXPECT_THAT(names(), ElementsAre("out"));
}

TEST_F(FileTest, RefusesWhatIsNoFile) {
  EXPECT_THAT(WholeFile::create(folder_).status().message(), HasSubstr("is a folder"));
  EXPECT_THAT(WholeFile::create(folder_ / "no" / "out").status().message(),
              HasSubstr("No such file"));
  EXPECT_THAT(WholeFile::create("/dev/null").status().message(), HasSubstr("no regular file"));
  EXPECT_EQ(WholeFile::create("").status().code(), StatusCode::kIoError);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(FileTest, NpyHeaderIsAlignedForEverySize) {
  for (const std::int64_t rows : {0L, 1L, 99L, 1'000'000'007L}) {
    for (std::int64_t cols = 1; cols < 10'000'000'000; cols *= 10) {
      const std::string header = npy_header(rows, cols);
      EXPECT_EQ(header.size() % 64, 0u);
      EXPECT_EQ(header.back(), '\n');
      EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
      const auto low = static_cast<unsigned char>(header[8]);
      const auto high = static_cast<unsigned char>(header[9]);
      EXPECT_EQ(static_cast<std::size_t>(low + 256 * high), header.size() - 10);
    }
  }
}

TEST_F(FileTest, NpyNeedsAllItsRows) {
  const std::array<float, 4> values{1.0f, 2.0f, 3.0f, 4.0f};
  auto file = NpyFile::create(folder_ / "out.npy", 3, 2);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file.value().write_rows(values));
  EXPECT_EQ(file.value().commit().code(), StatusCode::kInternal);
  EXPECT_FALSE(fs::exists(folder_ / "out.npy"));
  ASSERT_TRUE(file.value().write_rows(std::span(values).first(2)));
  ASSERT_TRUE(file.value().commit());
  EXPECT_EQ(content("out.npy").size(), npy_header(3, 2).size() + 6 * sizeof(float));
}

}  // namespace
}  // namespace seesaw::report
