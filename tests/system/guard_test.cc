// DataCheck::kVerify: what a launch would follow is checked, the first bad entry named by its
// coordinates, and nothing else is looked at.
#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <vector>

#include "system/small_call.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::int32_t kIntMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kIntMin = std::numeric_limits<std::int32_t>::min();

Executor& shared_executor() {
  static Executor executor = Executor::cpu(2);
  return executor;
}

void write(StridedArray& array, const std::vector<std::int64_t>& place, std::int32_t value) {
  array.write(array.offset(place), value);
}

/// Outputs stand as they were poisoned: nothing ran.
void expect_nothing_written(const AttentionCase& arrays) {
  for (const double x : arrays.out()) EXPECT_TRUE(std::isnan(x));
  for (const double x : arrays.lse()) EXPECT_TRUE(std::isnan(x));
}

void expect_refused(SmallCall& call, const std::string& message) {
  call.arrays.poison_outputs();
  const Status status = call.run(shared_executor(), DataCheck::kVerify);
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_THAT(status.message(), HasSubstr(message));
  expect_nothing_written(call.arrays);
}

void expect_accepted(SmallCall& call) {
  const Status status = call.run(shared_executor(), DataCheck::kVerify);
  EXPECT_TRUE(status.is_ok()) << status.message();
}

TEST(GuardDense, GarbageInWhatIsNotUsedIsNoMatter) {
  // AttentionCase fills the rest of the table with -1, INT_MAX and INT_MIN.
  for (const CaseSpec& spec : {small_decode(), small_prefill()}) {
    SmallCall call(spec);
    expect_accepted(call);
  }
}

TEST(GuardDense, FirstBadPageIsNamed) {
  SmallCall call(small_decode());  // lengths 5, 0, 9 in pages of 4; seven pages
  const std::int64_t num_pages = call.decode.cache.kv_cache.dim(0);
  ASSERT_EQ(num_pages, 7);
  write(call.arrays.block_table(), {2, 2}, 7);
  expect_refused(call,
                 "block_table[2, 2]: is 7, must be in [0, num_pages = 7): request 2 has 9 tokens "
                 "in pages of 4");
  write(call.arrays.block_table(), {2, 1}, -1);
  expect_refused(call, "block_table[2, 1]: is -1, must be");
  write(call.arrays.block_table(), {0, 1}, kIntMax);
  expect_refused(call, "block_table[0, 1]: is 2147483647, must be");
  write(call.arrays.block_table(), {0, 0}, kIntMin);
  expect_refused(call, "block_table[0, 0]: is -2147483648, must be");
}

TEST(GuardDense, RequestsWithoutQueryTokensUseNoPage) {
  SmallCall call(small_prefill());  // q_lengths 3, 0, 4
  std::vector<std::int32_t> kv_lengths = call.plan.kv_lengths;
  kv_lengths[1] = 9;  // its table row is garbage
  ASSERT_TRUE(replan(call.plan, kv_lengths, call.plan.q_lengths).is_ok());
  call.workspace = AlignedBytes(call.plan.workspace_bytes);
  call.prefill.workspace = call.workspace.bytes();
  expect_accepted(call);
  write(call.arrays.block_table(), {2, 0}, -1);
  expect_refused(call, "block_table[2, 0]: is -1");
}

TEST(GuardDense, AnEmptyPoolHasNoPage) {
  SmallCall call(small_decode());
  call.decode.cache.kv_cache.shape[0] = 0;
  const Status status = call.run(shared_executor(), DataCheck::kVerify);
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_THAT(status.message(), HasSubstr("must be in [0, num_pages = 0)"));
}

TEST(GuardTopK, GarbageBeyondTheLengthsIsNoMatter) {
  CaseSpec spec = small_top_k();
  for (int round = 0; round < 20; ++round) {
    SmallCall call(spec);  // INT_MAX stands beyond top_k_lengths
    expect_accepted(call);
  }
}

TEST(GuardTopK, FirstBadIndexIsNamed) {
  CaseSpec spec = small_top_k();
  spec.has_top_k_lengths = false;
  SmallCall call(spec);
  const std::int64_t num_slots = call.decode.cache.kv_cache.dim(0) * 4;
  const std::string range =
      "must be -1 or in [0, num_pages * page_size = " + std::to_string(num_slots) + ")";
  write(call.arrays.indices(), {2, 1, 6}, -2);
  expect_refused(call, "indices[2, 1, 6]: is -2, " + range);
  write(call.arrays.indices(), {1, 1, 0}, static_cast<std::int32_t>(num_slots));
  expect_refused(call, "indices[1, 1, 0]: is " + std::to_string(num_slots) + ", " + range);
  write(call.arrays.indices(), {1, 0, 6}, kIntMax);
  expect_refused(call, "indices[1, 0, 6]: is 2147483647, " + range);
}

TEST(GuardTopK, PrefillNamesThePackedToken) {
  CaseSpec spec = small_top_k();
  spec.problem.phase = Phase::kPrefill;
  spec.q_lengths = {3, 0, 4};
  spec.has_top_k_lengths = false;
  SmallCall call(spec);
  expect_accepted(call);
  write(call.arrays.indices(), {4, 2}, kIntMin);
  expect_refused(call, "indices[4, 2]: is -2147483648, must be -1 or in");
}

TEST(GuardTopK, LengthsAreChecked) {
  SmallCall call(small_top_k());
  std::vector<std::int32_t> lengths = {0, 7, 8};
  call.decode.cache.top_k_lengths = ConstTensorView(lengths.data(), DType::kInt32, {3});
  // All columns count now for request 1: give them something to find.
  for (std::int64_t token = 0; token < 2; ++token) {
    for (std::int64_t column = 0; column < 7; ++column) {
      write(call.arrays.indices(), {1, token, column}, -1);
    }
  }
  expect_refused(call, "top_k_lengths[2]: is 8, must be in [0, top_k = 7]");
  lengths[0] = -1;
  expect_refused(call, "top_k_lengths[0]: is -1, must be in [0, top_k = 7]");
  lengths = {0, 7, 0};
  expect_accepted(call);
}

}  // namespace
}  // namespace seesaw::testing
