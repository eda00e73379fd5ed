// Steps of a serving loop, as docs/paged_cache.md describes them: sequences are extended one after
// the other, some freed in between so that pages change hands within the step; then all copies are
// made, then all tokens written by one append. Whatever was shared, every sequence must gather its
// own tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "seesaw/kv_cache.h"
#include "seesaw/page_allocator.h"
#include "support/seed.h"

namespace seesaw {
namespace {

using testing::make_rng;
using testing::Rng;
using testing::uniform;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr int kSteps = 3'000;
#else
constexpr int kSteps = 30'000;
#endif

constexpr std::int32_t kNumPages = 40, kPageSize = 5;
constexpr std::int64_t kLatent = 3, kDim = 4;

class ServingLoop {
 public:
  explicit ServingLoop(Rng rng) : rng_(std::move(rng)) {}

  void step() {
    if (sequences_.size() < 3 || uniform(rng_, 0, 5) == 0) {
      sequences_.push_back({allocator_.create(), {}});
    }
    // Between steps all that is shared is written.
    for (std::int64_t n = uniform(rng_, 0, 3); n > 0; --n) share();
    if (uniform(rng_, 0, 4) == 0) truncate();

    copies_.clear();
    slots_.clear();
    rows_.clear();
    for (std::int64_t n = uniform(rng_, 1, 12); n > 0 && !sequences_.empty(); --n) {
      extend(any());
      // A finished sequence leaves in the middle of the step, with tokens that are still to come.
      if (uniform(rng_, 0, 3) == 0 && sequences_.size() > 1) finish(any());
    }
    write();
  }

  void check() {
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> table(sequences_.size() * kNumPages, -1);
    std::vector<float> expected;
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      const auto pages = allocator_.pages(sequences_[i].id);
      std::copy(pages.begin(), pages.end(), &table[i * kNumPages]);
      lengths.push_back(static_cast<std::int32_t>(sequences_[i].tokens.size()));
      for (const float token : sequences_[i].tokens) expected.insert(expected.end(), kDim, token);
    }
    const auto b = static_cast<std::int64_t>(sequences_.size());
    std::vector<float> gathered(expected.size(), -1);
    const auto total = static_cast<std::int64_t>(expected.size()) / kDim;
    const Status status = gather({.kv_cache = pool_,
                                  .block_table = {table.data(), DType::kInt32, {b, kNumPages}},
                                  .cache_seqlens = {lengths.data(), DType::kInt32, {b}},
                                  .out = {gathered.data(), DType::kFloat32, {total, 1, kDim}}},
                                 KvFormat::kFloat32, executor_);
    ASSERT_TRUE(status) << status.message();
    ASSERT_EQ(gathered, expected);
  }

  std::int64_t num_copies() const { return num_copies_; }
  std::int64_t num_reused_pages() const { return num_reused_pages_; }
  std::int64_t num_refusals() const { return num_refusals_; }

 private:
  struct Sequence {
    SequenceId id;
    std::vector<float> tokens;
  };

  std::size_t any() {
    return static_cast<std::size_t>(
        uniform(rng_, 0, static_cast<std::int64_t>(sequences_.size()) - 1));
  }

  void share() {
    const Sequence& source = sequences_[any()];
    const std::int64_t n = uniform(rng_, 0, static_cast<std::int64_t>(source.tokens.size()));
    const SequenceId id = allocator_.share_prefix(source.id, n).value();
    sequences_.push_back({id, {source.tokens.begin(), source.tokens.begin() + n}});
  }

  void truncate() {
    Sequence& sequence = sequences_[any()];
    const std::int64_t n = uniform(rng_, 0, static_cast<std::int64_t>(sequence.tokens.size()));
    ASSERT_TRUE(allocator_.truncate(sequence.id, n));
    sequence.tokens.resize(static_cast<std::size_t>(n));
  }

  void extend(std::size_t idx) {
    const SequenceId id = sequences_[idx].id;
    const std::int64_t n = uniform(rng_, 1, 2 * kPageSize);
    const std::size_t num_copies_before = copies_.size();
    const std::int64_t first = allocator_.num_tokens(id);
    const Status status = allocator_.extend(id, n, copies_);
    if (!status) {
      ASSERT_EQ(status.code(), StatusCode::kOutOfPages);
      ++num_refusals_;
      return finish(idx);
    }
    for (std::size_t i = num_copies_before; i < copies_.size(); ++i) {
      ++num_copies_;
      for (std::size_t j = 0; j < i; ++j) {
        num_reused_pages_ +=
            copies_[j].from_page == copies_[i].to_page || copies_[j].to_page == copies_[i].to_page;
      }
    }
    std::vector<std::int64_t> slots(static_cast<std::size_t>(n));
    ASSERT_TRUE(allocator_.slots(id, first, slots));
    slots_.insert(slots_.end(), slots.begin(), slots.end());
    for (std::int64_t i = 0; i < n; ++i) {
      rows_.insert(rows_.end(), kDim, next_token_);
      sequences_[idx].tokens.push_back(next_token_++);
    }
  }

  // Its unwritten tokens must not be written any more: their slots may be another's by then.
  void finish(std::size_t idx) {
    const SequenceId id = sequences_[idx].id;
    std::vector<std::int64_t> slots(sequences_[idx].tokens.size());
    ASSERT_TRUE(allocator_.slots(id, 0, slots));
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const float token = rows_[i * kDim];
      const auto& tokens = sequences_[idx].tokens;
      if (std::find(tokens.begin(), tokens.end(), token) != tokens.end()) slots_[i] = -1;
    }
    ASSERT_TRUE(allocator_.free(id));
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(idx));
  }

  void write() {
    ASSERT_TRUE(copy_pages(copies_, pool_, KvFormat::kFloat32, executor_));
    const auto n = static_cast<std::int64_t>(slots_.size());
    const Status status = append(
        {.latent = {rows_.data(), DType::kFloat32, {n, 1, kLatent}, {kDim, kDim, 1}},
         .rope = {rows_.data() + kLatent, DType::kFloat32, {n, 1, kDim - kLatent}, {kDim, kDim, 1}},
         .slot_mapping = {slots_.data(), DType::kInt64, {n}},
         .kv_cache = pool_},
        KvFormat::kFloat32, executor_);
    ASSERT_TRUE(status) << status.message();
  }

  Rng rng_;
  PageAllocator allocator_{kNumPages, kPageSize};
  std::vector<float> memory_ = std::vector<float>(kNumPages * kPageSize * kDim, -2);
  TensorView pool_{memory_.data(), DType::kFloat32, {kNumPages, kPageSize, 1, kDim}};
  Executor executor_ = Executor::cpu(2);
  std::vector<Sequence> sequences_;
  std::vector<PageCopy> copies_;
  std::vector<std::int64_t> slots_;
  std::vector<float> rows_;
  float next_token_ = 0;  // whole numbers are exact up to 2^24
  std::int64_t num_copies_ = 0;
  std::int64_t num_reused_pages_ = 0;
  std::int64_t num_refusals_ = 0;
};

TEST(PagedCacheProperty, EverySequenceGathersItsOwnTokens) {
  ServingLoop loop(make_rng());
  for (int i = 0; i < kSteps; ++i) {
    loop.step();
    loop.check();
    ASSERT_FALSE(HasFailure()) << "step " << i;
  }
  EXPECT_GT(loop.num_copies(), 0);
  EXPECT_GT(loop.num_reused_pages(), 0);
  EXPECT_GT(loop.num_refusals(), 0);
}

}  // namespace
}  // namespace seesaw
