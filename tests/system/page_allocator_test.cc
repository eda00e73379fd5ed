#include "seesaw/page_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace seesaw {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

class PageAllocatorTest : public ::testing::Test {
 protected:
  SequenceId sequence_of(std::int64_t num_tokens) {
    const SequenceId id = allocator_.create();
    EXPECT_TRUE(allocator_.extend(id, num_tokens, copies_));
    return id;
  }
  PageAllocator allocator_{6, 4};
  std::vector<PageCopy> copies_;
};

TEST(PageAllocator, RefusesImpossiblePools) {
  try {
    const PageAllocator pool(-1, 4);
    FAIL() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), StatusCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "num_pages: is -1, must be 0 or more");
  }
  try {
    const PageAllocator pool(8, 0);
    FAIL() << "no exception";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "page_size: is 0, must be at least 1");
  }
}

TEST_F(PageAllocatorTest, HandsOutPagesInOrderAndTheLastFreedFirst) {
  const SequenceId a = sequence_of(9);
  EXPECT_THAT(allocator_.pages(a), ElementsAre(0, 1, 2));
  const SequenceId b = sequence_of(4);
  EXPECT_THAT(allocator_.pages(b), ElementsAre(3));
  EXPECT_EQ(allocator_.num_free_pages(), 2);
  ASSERT_TRUE(allocator_.free(a));
  EXPECT_EQ(allocator_.num_free_pages(), 5);
  EXPECT_THAT(allocator_.pages(sequence_of(8)), ElementsAre(0, 1));
}

TEST_F(PageAllocatorTest, ExtendTakesAPageOnlyWhenTheLastIsFull) {
  const SequenceId a = sequence_of(3);
  EXPECT_EQ(allocator_.num_pages_to_extend(a, 1).value(), 0);
  ASSERT_TRUE(allocator_.extend(a, 1, copies_));
  EXPECT_EQ(allocator_.num_pages_to_extend(a, 1).value(), 1);
  ASSERT_TRUE(allocator_.extend(a, 1, copies_));
  EXPECT_THAT(allocator_.pages(a), ElementsAre(0, 1));
  EXPECT_EQ(allocator_.slot(a, 4).value(), 4);
  EXPECT_THAT(copies_, IsEmpty());
}

TEST_F(PageAllocatorTest, ForkCopiesThePartlyFilledPageOfWhoeverWritesFirst) {
  const SequenceId a = sequence_of(6);
  const SequenceId b = allocator_.fork(a).value();
  EXPECT_EQ(allocator_.num_free_pages(), 4);
  EXPECT_EQ(allocator_.num_own_pages(a), 0);
  ASSERT_TRUE(allocator_.extend(a, 1, copies_));
  ASSERT_EQ(copies_.size(), 1u);
  EXPECT_EQ(copies_[0].from_page, 1);
  EXPECT_EQ(copies_[0].to_page, 2);
  EXPECT_EQ(copies_[0].num_tokens, 2);
  EXPECT_THAT(allocator_.pages(a), ElementsAre(0, 2));
  ASSERT_TRUE(allocator_.extend(b, 1, copies_));  // the page is b's alone by now
  EXPECT_EQ(copies_.size(), 1u);
  EXPECT_THAT(allocator_.pages(b), ElementsAre(0, 1));
  EXPECT_EQ(allocator_.ref_count(0), 2);
  EXPECT_EQ(allocator_.num_own_pages(b), 1);
}

TEST_F(PageAllocatorTest, APrefixThatEndsWithAPageIsNeverCopied) {
  const SequenceId a = sequence_of(11);
  const SequenceId b = allocator_.share_prefix(a, 8).value();
  ASSERT_TRUE(allocator_.extend(b, 5, copies_));
  EXPECT_THAT(copies_, IsEmpty());
  EXPECT_THAT(allocator_.pages(b), ElementsAre(0, 1, 3, 4));
}

TEST_F(PageAllocatorTest, APrefixThatEndsWithinAPageCopiesItsOwnTokensOnly) {
  const SequenceId a = sequence_of(8);
  const SequenceId b = allocator_.share_prefix(a, 5).value();
  ASSERT_TRUE(allocator_.extend(b, 1, copies_));
  ASSERT_EQ(copies_.size(), 1u);
  EXPECT_EQ(copies_[0].from_page, 1);
  EXPECT_EQ(copies_[0].num_tokens, 1);
}

TEST_F(PageAllocatorTest, APrefixOfNothingHoldsNoPage) {
  const SequenceId b = allocator_.share_prefix(sequence_of(8), 0).value();
  EXPECT_EQ(allocator_.num_tokens(b), 0);
  EXPECT_THAT(allocator_.pages(b), IsEmpty());
}

TEST_F(PageAllocatorTest, WritingAfterTruncatingASharedPageCopiesIt) {
  const SequenceId a = sequence_of(8);
  const SequenceId b = allocator_.fork(a).value();
  ASSERT_TRUE(allocator_.truncate(b, 6));
  EXPECT_EQ(allocator_.ref_count(1), 2);
  ASSERT_TRUE(allocator_.extend(b, 1, copies_));
  ASSERT_EQ(copies_.size(), 1u);
  EXPECT_EQ(copies_[0].num_tokens, 2);
  ASSERT_TRUE(allocator_.truncate(b, 4));
  EXPECT_THAT(allocator_.pages(b), ElementsAre(0));
}

TEST_F(PageAllocatorTest, OutOfPagesSaysWhatIsMissingAndChangesNothing) {
  const SequenceId a = sequence_of(18);
  const SequenceId b = allocator_.fork(a).value();
  ASSERT_TRUE(allocator_.extend(a, 1, copies_));  // takes the last page, as a copy
  const Status status = allocator_.extend(b, 3, copies_);
  EXPECT_EQ(status.code(), StatusCode::kOutOfPages);
  EXPECT_EQ(status.message(),
            "num_tokens: is 3 and takes 1 more pages for sequence 1, must take at most 0 (free of "
            "6)");
  EXPECT_EQ(allocator_.num_tokens(b), 18);
  EXPECT_EQ(copies_.size(), 1u);
  EXPECT_EQ(allocator_.extend(a, kMost, copies_).code(), StatusCode::kOutOfPages);
  EXPECT_EQ(allocator_.num_pages_to_extend(a, kMost).value(), (kMost - 1 - 1) / 4 + 1);
}

TEST_F(PageAllocatorTest, NamesTheArgumentThatIsWrong) {
  const SequenceId a = sequence_of(6);
  ASSERT_TRUE(allocator_.free(sequence_of(1)));
  const auto message = [](const Status& status) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  const std::string unknown = "sequence: is 1, must be one that was created and not freed";
  EXPECT_EQ(message(allocator_.free(1)), unknown);
  EXPECT_EQ(message(allocator_.extend(1, 1, copies_)), unknown);
  EXPECT_EQ(message(allocator_.truncate(1, 0)), unknown);
  EXPECT_EQ(message(allocator_.fork(1).status()), unknown);
  EXPECT_EQ(message(allocator_.share_prefix(1, 0).status()), unknown);
  EXPECT_EQ(message(allocator_.slot(1, 0).status()), unknown);
  EXPECT_EQ(message(allocator_.num_pages_to_extend(1, 0).status()), unknown);
  EXPECT_EQ(message(allocator_.extend(a, -1, copies_)), "num_tokens: is -1, must be 0 or more");
  EXPECT_EQ(message(allocator_.truncate(a, 7)),
            "num_tokens: is 7, must be in [0, 6], the tokens of sequence 0");
  EXPECT_EQ(message(allocator_.share_prefix(a, -2).status()),
            "num_tokens: is -2, must be in [0, 6], the tokens of sequence 0");
  EXPECT_EQ(message(allocator_.slot(a, 6).status()),
            "tokens: are 1 from 6 on, must lie within the 6 of sequence 0");
  std::vector<std::int64_t> slots(4, -7);
  EXPECT_EQ(message(allocator_.slots(a, 3, slots)),
            "tokens: are 4 from 3 on, must lie within the 6 of sequence 0");
  EXPECT_THAT(slots, ElementsAre(-7, -7, -7, -7));
  EXPECT_THAT(allocator_.pages(1), IsEmpty());
  EXPECT_EQ(allocator_.num_tokens(1), -1);
  EXPECT_EQ(allocator_.num_own_pages(1), -1);
  EXPECT_EQ(allocator_.ref_count(-1), -1);
  EXPECT_EQ(allocator_.ref_count(6), -1);
}

TEST_F(PageAllocatorTest, SlotsFollowThePages) {
  sequence_of(4);
  const SequenceId b = sequence_of(2);
  sequence_of(4);
  ASSERT_TRUE(allocator_.extend(b, 3, copies_));
  std::vector<std::int64_t> slots(4);
  ASSERT_TRUE(allocator_.slots(b, 1, slots));
  EXPECT_THAT(slots, ElementsAre(5, 6, 7, 12));
  ASSERT_TRUE(allocator_.slots(b, 5, {}));
}

// 2^31 - 1 pages of 2^31 - 1 tokens would need memory for the counts; a large page does not.
TEST(PageAllocator, SlotsOfLargePagesFitIn64Bits) {
  constexpr std::int32_t kPageSize = std::numeric_limits<std::int32_t>::max();
  PageAllocator allocator(3, kPageSize);
  std::vector<PageCopy> copies;
  const SequenceId a = allocator.create();
  ASSERT_TRUE(allocator.extend(a, 3 * std::int64_t{kPageSize}, copies));
  EXPECT_EQ(allocator.slot(a, 3 * std::int64_t{kPageSize} - 1).value(),
            3 * std::int64_t{kPageSize} - 1);
  EXPECT_EQ(allocator.extend(a, 1, copies).code(), StatusCode::kOutOfPages);
}

}  // namespace
}  // namespace seesaw
