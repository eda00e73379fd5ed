// The emulator itself: it computes what the instructions do, and finds each planted fault.
#include <gmock/gmock.h>

#include <cmath>

#include "emulator/machine.h"
#include "emulator/planted_faults.h"
#include "support/seed.h"

namespace seesaw::emulator {
namespace {

using planted::Fault;
using planted::Way;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kSize = 64;

/// Small whole numbers: products and their sums are exact.
std::vector<float> random_numbers(testing::Rng& rng) {
  std::vector<float> numbers(kSize * kSize);
  for (float& x : numbers) x = static_cast<float>(testing::uniform(rng, -8, 8));
  return numbers;
}

/// a b, or with b along k a b^T.
std::vector<float> expected_product(const std::vector<float>& a, const std::vector<float>& b,
                                    bool b_along_n) {
  std::vector<float> d(kSize * kSize);
  for (std::size_t row = 0; row < kSize; ++row) {
    for (std::size_t column = 0; column < kSize; ++column) {
      for (std::size_t k = 0; k < kSize; ++k) {
        d[row * kSize + column] +=
            a[row * kSize + k] * b[b_along_n ? k * kSize + column : column * kSize + k];
      }
    }
  }
  return d;
}

TEST(Emulator, MultipliesAsTheTensorCores) {
  testing::Rng rng = testing::make_rng();
  for (const Way way : {Way{}, Way{.by_bulk_copy = true}, Way{.a_in_registers = true},
                        Way{.b_along_n = true}, Way{true, true, false}, Way{true, false, true}}) {
    const std::vector<float> a = random_numbers(rng);
    const std::vector<float> b = random_numbers(rng);
    EXPECT_EQ(planted::multiply(a, b, way, Fault::kNone), expected_product(a, b, way.b_along_n));
    EXPECT_THAT(take_reports(), IsEmpty());
  }
}

TEST(Emulator, FindsFaultsOfProducts) {
  testing::Rng rng = testing::make_rng();
  const std::vector<float> a = random_numbers(rng);
  const std::vector<float> b = random_numbers(rng);
  const Way by_threads{};
  const Way by_bulk_copy{.by_bulk_copy = true};
  const struct {
    Way way;
    Fault fault;
    const char* words;
  } cases[] = {
      {by_threads, Fault::kNoProductFence, "without wgmma.fence"},
      {by_threads, Fault::kNoProxyFence, "an ordinary write without fence.proxy.async"},
      {by_threads, Fault::kOverwritesOperands, "does not happen after a read"},
      {by_threads, Fault::kDifferentProducts, "ask for different products"},
      {by_threads, Fault::kWaitsApart, "waits forever"},
      {by_bulk_copy, Fault::kReadsBoxEarly, "a copy that is under way"},
      {by_bulk_copy, Fault::kOverwritesBoxUnfenced, "an ordinary write without fence.proxy.async"},
      {by_bulk_copy, Fault::kNoBarrierInitFence, "fence"},
      {by_bulk_copy, Fault::kWrongCount, "waits forever"},
  };
  for (const auto& planted : cases) {
    planted::multiply(a, b, planted.way, planted.fault);
    EXPECT_THAT(take_reports(), Contains(HasSubstr(planted.words))) << planted.words;
  }
}

TEST(Emulator, UnfinishedProductsAreNaN) {
  testing::Rng rng = testing::make_rng();
  const std::vector<float> d =
      planted::multiply(random_numbers(rng), random_numbers(rng), {}, Fault::kReadsProductsEarly);
  for (float x : d) EXPECT_TRUE(std::isnan(x));
}

TEST(Emulator, ThreadsWarpsAndBlocksMeet) {
  for (int order = 0; order < 20; ++order) {
    EXPECT_EQ(planted::sum(Fault::kNone), planted::kSum);
    EXPECT_THAT(take_reports(), IsEmpty());
  }
}

TEST(Emulator, FindsFaultsOfThreads) {
  const struct {
    Fault fault;
    const char* words;
  } cases[] = {
      {Fault::kNoBarrier, "a read does not happen after a write"},
      {Fault::kNoWarpBarrier, "a read does not happen after a write"},
      {Fault::kReadsCopyEarly, "a copy that is under way"},
      {Fault::kEndsBeforeCopy, "a thread ends before its copies"},
      {Fault::kTooFewArrive, "32 threads for __syncthreads"},
      {Fault::kComesTwice, "twice by one thread"},
      {Fault::kBeyondShared, "outside of the block's shared memory"},
      {Fault::kBeforePrevious, "before the previous kernel"},
      {Fault::kReadsPreviousEarly, "before the wait, of what the previous kernel writes"},
      {Fault::kLetsNextStartEarly, "may start before the previous one has ended"},
      {Fault::kReadsOthersEarly, "does not happen after"},
      {Fault::kDivergentWarp, "lanes of a warp are at"},
  };
  for (const auto& planted : cases) {
    // Two blocks may come in the one order that hides a fault.
    std::vector<std::string> reports;
    for (int order = 0; order < 20 && reports.empty(); ++order) {
      planted::sum(planted.fault);
      reports = take_reports();
    }
    EXPECT_THAT(reports, Contains(HasSubstr(planted.words))) << planted.words;
  }
}

TEST(Emulator, SaysWhere) {
  planted::sum(Fault::kNoBarrier);
  EXPECT_THAT(take_reports(), Contains(HasSubstr("planted_faults.cu:")));
}

}  // namespace
}  // namespace seesaw::emulator
