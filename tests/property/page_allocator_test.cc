// Long random sequences of operations against a model of shared pointers: a page of the model lives
// as long as a sequence points to it. Contents are simulated: every token ever written has a value
// of its own, and a sequence must read back its own tokens whatever the others did.
#include "seesaw/page_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/allocation_hooks.h"
#include "support/seed.h"

namespace seesaw {
namespace {

using testing::FailingAllocations;
using testing::make_rng;
using testing::Rng;
using testing::uniform;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr int kOperationsAPool = 10'000;  // an instrumented one takes some twenty times as long
#else
constexpr int kOperationsAPool = 150'000;
#endif

// What every accessor of an allocator shows.
struct Snapshot {
  std::int32_t num_free_pages = 0;
  std::size_t num_sequences = 0;
  std::vector<std::int32_t> ref_counts;
  std::vector<std::vector<std::int32_t>> pages;
  std::vector<const std::int32_t*> page_addresses;
  std::vector<std::int64_t> num_tokens;
  bool operator==(const Snapshot&) const = default;
};

class Simulation {
 public:
  Simulation(std::int32_t num_pages, std::int32_t page_size, Rng rng)
      : allocator_(num_pages, page_size),
        rng_(std::move(rng)),
        memory_(static_cast<std::size_t>(num_pages) * static_cast<std::size_t>(page_size), -1),
        num_live_pages_(std::make_shared<std::int32_t>(0)) {}

  // One random operation with random, often wrong arguments, then all invariants.
  void step() {
    switch (uniform(rng_, 0, 15)) {
      case 0:
      case 1:
        create();
        break;
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
        extend();
        break;
      case 8:
      case 9:
        share(/*whole=*/true);
        break;
      case 10:
      case 11:
        share(/*whole=*/false);
        break;
      case 12:
      case 13:
        truncate();
        break;
      case 14:
        free();
        break;
      default:
        check_slots();
        break;
    }
    // A full pool refuses most operations; make way now and then.
    if (allocator_.num_free_pages() == 0 && uniform(rng_, 0, 3) == 0) free();
    if (sequences_.size() > 40) free();
    check_invariants();
    if (uniform(rng_, 0, 19) == 0) check_contents();
  }

  void free_all() {
    while (!sequences_.empty()) free_known(sequences_.size() - 1);
    check_invariants();
    EXPECT_EQ(allocator_.num_free_pages(), allocator_.num_pages());
    EXPECT_EQ(allocator_.num_sequences(), 0u);
    EXPECT_EQ(*num_live_pages_, 0);
  }

  void check_contents() const {
    for (const Sequence& sequence : sequences_) {
      std::vector<std::int64_t> slots(sequence.tokens.size());
      ASSERT_TRUE(allocator_.slots(sequence.id, 0, slots));
      for (std::size_t i = 0; i < slots.size(); ++i) {
        ASSERT_EQ(memory_[static_cast<std::size_t>(slots[i])], sequence.tokens[i])
            << "sequence " << sequence.id << ", token " << i << ", slot " << slots[i];
      }
    }
  }

  Snapshot snapshot() const {
    Snapshot now;
    now.num_free_pages = allocator_.num_free_pages();
    now.num_sequences = allocator_.num_sequences();
    for (std::int32_t page = 0; page < allocator_.num_pages(); ++page) {
      now.ref_counts.push_back(allocator_.ref_count(page));
    }
    for (const Sequence& sequence : sequences_) {
      const auto pages = allocator_.pages(sequence.id);
      now.pages.emplace_back(pages.begin(), pages.end());
      now.page_addresses.push_back(pages.data());
      now.num_tokens.push_back(allocator_.num_tokens(sequence.id));
    }
    return now;
  }

  std::int64_t num_out_of_pages() const { return num_out_of_pages_; }
  std::int64_t num_copies() const { return num_copies_; }
  std::int64_t num_failed_allocations() const { return num_failed_allocations_; }

 private:
  // Counts itself while a sequence points to it.
  struct ModelPage {
    explicit ModelPage(std::shared_ptr<std::int32_t> counter) : num_live(std::move(counter)) {
      ++*num_live;
    }
    ~ModelPage() { --*num_live; }
    ModelPage(const ModelPage&) = delete;
    ModelPage& operator=(const ModelPage&) = delete;
    std::shared_ptr<std::int32_t> num_live;
    std::int32_t page = -1;  // of the pool
  };
  using PagePointer = std::shared_ptr<ModelPage>;
  struct Sequence {
    SequenceId id = -1;
    std::vector<PagePointer> pages;
    std::vector<std::int64_t> tokens;  // their values
  };

  std::int32_t page_size() const { return allocator_.page_size(); }
  std::int32_t num_free() const { return allocator_.num_pages() - *num_live_pages_; }

  // Index of a random sequence; nothing: use unknown_id().
  std::optional<std::size_t> pick() {
    if (sequences_.empty() || uniform(rng_, 0, 49) == 0) return std::nullopt;
    return static_cast<std::size_t>(
        uniform(rng_, 0, static_cast<std::int64_t>(sequences_.size()) - 1));
  }
  SequenceId unknown_id() {
    if (!freed_.empty() && uniform(rng_, 0, 1) == 0) {
      return freed_[static_cast<std::size_t>(
          uniform(rng_, 0, static_cast<std::int64_t>(freed_.size()) - 1))];
    }
    return uniform(rng_, 0, 1) == 0 ? -1 : last_id_ + 1 + uniform(rng_, 0, 5);
  }

  // Runs `call`, now and then with memory that runs out. Nothing: it threw and changed nothing.
  template <typename Call>
  auto attempt(const Call& call) -> std::optional<decltype(call())> {
    if (uniform(rng_, 0, 9) != 0) return call();
    const Snapshot before = snapshot();
    const std::int64_t countdown = uniform(rng_, 0, 3);
    std::optional<decltype(call())> result;
    bool has_thrown = false;
    {
      const FailingAllocations failing(countdown);
      try {
        result.emplace(call());
      } catch (const std::bad_alloc&) {
        has_thrown = true;
      }
    }
    if (has_thrown) {
      ++num_failed_allocations_;
      EXPECT_TRUE(snapshot() == before);
      return std::nullopt;
    }
    return result;
  }

  void expect_refused(const Status& status, const Snapshot& before) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_FALSE(status.message().empty());
    EXPECT_TRUE(snapshot() == before);
  }

  void create() {
    const auto id = attempt([this] { return allocator_.create(); });
    if (!id) return;
    EXPECT_GT(*id, last_id_);  // never used before
    last_id_ = *id;
    sequences_.push_back({.id = *id, .pages = {}, .tokens = {}});
  }

  std::int64_t random_growth() {
    switch (uniform(rng_, 0, 9)) {
      case 0:
        return 0;
      case 1:
        return uniform(rng_, -3, -1);
      case 2:
        return uniform(rng_, 0, std::int64_t{page_size()} * (allocator_.num_pages() + 1));
      case 3:
        return std::numeric_limits<std::int64_t>::max() - uniform(rng_, 0, 2);
      case 4:
      case 5:
        return 1;
      default:
        return uniform(rng_, 1, 3 * std::int64_t{page_size()});
    }
  }

  // Pages that num_tokens more take: one where a token begins a page, one where the page it goes
  // into is another's too.
  std::int64_t pages_to_grow(const Sequence& sequence, std::int64_t num_tokens) const {
    const auto length = static_cast<std::int64_t>(sequence.tokens.size());
    const bool is_partial = length % page_size() != 0;
    std::int64_t count = 0;
    if (num_tokens > 0 && is_partial && sequence.pages.back().use_count() > 1) ++count;
    const std::int64_t most = allocator_.num_pages() + std::int64_t{1};
    for (std::int64_t i = 0; i < num_tokens && count < most; ++i) {
      if ((length + i) % page_size() == 0) ++count;
    }
    return count;
  }

  void extend() {
    const auto idx = pick();
    const std::int64_t num_tokens = random_growth();
    const SequenceId id = idx ? sequences_[*idx].id : unknown_id();
    const Snapshot before = snapshot();
    std::vector<PageCopy> copies(static_cast<std::size_t>(uniform(rng_, 0, 2)));
    const std::size_t num_old_copies = copies.size();
    const std::int64_t needed = idx ? pages_to_grow(sequences_[*idx], num_tokens) : 0;
    if (idx && num_tokens >= 0 && needed <= allocator_.num_pages()) {
      EXPECT_EQ(allocator_.num_pages_to_extend(id, num_tokens).value(), needed);
    }
    const auto status = attempt([&] { return allocator_.extend(id, num_tokens, copies); });
    if (!status || !*status) {
      EXPECT_EQ(copies.size(), num_old_copies);
    }
    if (!status) return;
    if (!idx || num_tokens < 0) return expect_refused(*status, before);
    if (needed > num_free()) {
      ++num_out_of_pages_;
      EXPECT_EQ(status->code(), StatusCode::kOutOfPages);
      EXPECT_TRUE(snapshot() == before);
      return;
    }
    ASSERT_TRUE(*status) << status->message();
    execute(sequences_[*idx], num_tokens,
            {copies.begin() + static_cast<std::ptrdiff_t>(num_old_copies), copies.end()});
  }

  // Makes the copies, then writes the tokens, in the model and in the simulated memory.
  void execute(Sequence& sequence, std::int64_t num_tokens, const std::vector<PageCopy>& copies) {
    const auto first = static_cast<std::int64_t>(sequence.tokens.size());
    const auto pages = allocator_.pages(sequence.id);
    const bool must_copy =
        num_tokens > 0 && first % page_size() != 0 && sequence.pages.back().use_count() > 1;
    ASSERT_EQ(copies.size(), must_copy ? 1u : 0u);
    if (must_copy) {
      ++num_copies_;
      const PageCopy& copy = copies.front();
      ASSERT_EQ(copy.from_page, sequence.pages.back()->page);
      ASSERT_EQ(copy.num_tokens, first % page_size());
      sequence.pages.back() = std::make_shared<ModelPage>(num_live_pages_);
      sequence.pages.back()->page = copy.to_page;
      const auto from = memory_.begin() + std::int64_t{copy.from_page} * page_size();
      const auto to = memory_.begin() + std::int64_t{copy.to_page} * page_size();
      std::fill_n(to, page_size(), -2);
      std::copy_n(from, copy.num_tokens, to);
    }
    while (static_cast<std::int64_t>(sequence.pages.size()) * page_size() < first + num_tokens) {
      sequence.pages.push_back(std::make_shared<ModelPage>(num_live_pages_));
      ASSERT_GE(pages.size(), sequence.pages.size());
      sequence.pages.back()->page = pages[sequence.pages.size() - 1];
      std::fill_n(memory_.begin() + std::int64_t{sequence.pages.back()->page} * page_size(),
                  page_size(), -2);
    }
    std::vector<std::int64_t> slots(static_cast<std::size_t>(num_tokens));
    ASSERT_TRUE(allocator_.slots(sequence.id, first, slots));
    for (const std::int64_t slot : slots) {
      // A shared page is never written.
      ASSERT_EQ(allocator_.ref_count(static_cast<std::int32_t>(slot / page_size())), 1);
      memory_[static_cast<std::size_t>(slot)] = next_value_;
      sequence.tokens.push_back(next_value_++);
    }
  }

  std::int64_t random_length(const std::optional<std::size_t>& idx) {
    const auto length = idx ? static_cast<std::int64_t>(sequences_[*idx].tokens.size()) : 4;
    if (uniform(rng_, 0, 19) == 0) return length + uniform(rng_, 1, 9);
    if (uniform(rng_, 0, 19) == 0) return uniform(rng_, -9, -1);
    return uniform(rng_, 0, length);
  }
  static bool is_within(const Sequence& sequence, std::int64_t num_tokens) {
    return num_tokens >= 0 && num_tokens <= static_cast<std::int64_t>(sequence.tokens.size());
  }
  void cut(Sequence& sequence, std::int64_t num_tokens) const {
    sequence.tokens.resize(static_cast<std::size_t>(num_tokens));
    sequence.pages.resize(static_cast<std::size_t>((num_tokens + page_size() - 1) / page_size()));
  }

  void share(bool whole) {
    const auto idx = pick();
    const SequenceId id = idx ? sequences_[*idx].id : unknown_id();
    const std::int64_t num_tokens = whole && idx
                                        ? static_cast<std::int64_t>(sequences_[*idx].tokens.size())
                                        : random_length(idx);
    const Snapshot before = snapshot();
    const auto shared = attempt(
        [&] { return whole ? allocator_.fork(id) : allocator_.share_prefix(id, num_tokens); });
    if (!shared) return;
    if (!idx || !is_within(sequences_[*idx], num_tokens)) {
      return expect_refused(shared->status(), before);
    }
    ASSERT_TRUE(*shared) << shared->status().message();
    EXPECT_GT(shared->value(), last_id_);
    last_id_ = shared->value();
    Sequence copy = sequences_[*idx];
    copy.id = shared->value();
    cut(copy, num_tokens);
    sequences_.push_back(std::move(copy));
  }

  void truncate() {
    const auto idx = pick();
    const SequenceId id = idx ? sequences_[*idx].id : unknown_id();
    const std::int64_t num_tokens = random_length(idx);
    const Snapshot before = snapshot();
    const auto status = attempt([&] { return allocator_.truncate(id, num_tokens); });
    if (!status) return;
    if (!idx || !is_within(sequences_[*idx], num_tokens)) return expect_refused(*status, before);
    ASSERT_TRUE(*status) << status->message();
    cut(sequences_[*idx], num_tokens);
  }

  void free() {
    const auto idx = pick();
    if (idx) return free_known(*idx);
    const Snapshot before = snapshot();
    const SequenceId id = unknown_id();
    const auto status = attempt([&] { return allocator_.free(id); });
    if (status) expect_refused(*status, before);
  }

  void free_known(std::size_t idx) {
    std::int32_t num_own = 0;
    for (const PagePointer& page : sequences_[idx].pages) num_own += page.use_count() == 1;
    EXPECT_EQ(allocator_.num_own_pages(sequences_[idx].id), num_own);
    const std::int32_t num_free_before = allocator_.num_free_pages();
    ASSERT_TRUE(allocator_.free(sequences_[idx].id));
    EXPECT_EQ(allocator_.num_free_pages(), num_free_before + num_own);
    freed_.push_back(sequences_[idx].id);
    if (freed_.size() > 100) freed_.erase(freed_.begin());
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(idx));
  }

  void check_slots() {
    const auto idx = pick();
    const SequenceId id = idx ? sequences_[*idx].id : unknown_id();
    const std::int64_t token_idx = random_length(idx);
    const auto length = idx ? static_cast<std::int64_t>(sequences_[*idx].tokens.size()) : 0;
    const Result<std::int64_t> slot = allocator_.slot(id, token_idx);
    ASSERT_EQ(slot.is_ok(), idx && token_idx >= 0 && token_idx < length);
    if (slot) {
      const Sequence& sequence = sequences_[*idx];
      const auto& page = sequence.pages[static_cast<std::size_t>(token_idx / page_size())];
      EXPECT_EQ(slot.value(), std::int64_t{page->page} * page_size() + token_idx % page_size());
      EXPECT_EQ(memory_[static_cast<std::size_t>(slot.value())],
                sequence.tokens[static_cast<std::size_t>(token_idx)]);
    } else {
      EXPECT_EQ(slot.status().code(), StatusCode::kInvalidArgument);
    }
  }

  // Page for page what the model says: no leak, no page of two owners that does not know of both.
  void check_invariants() const {
    ASSERT_EQ(allocator_.num_free_pages(), num_free());
    ASSERT_EQ(allocator_.num_sequences(), sequences_.size());
    std::vector<std::int32_t> num_holders(static_cast<std::size_t>(allocator_.num_pages()), 0);
    for (const Sequence& sequence : sequences_) {
      ASSERT_EQ(allocator_.num_tokens(sequence.id),
                static_cast<std::int64_t>(sequence.tokens.size()));
      const auto pages = allocator_.pages(sequence.id);
      ASSERT_EQ(pages.size(), sequence.pages.size());
      for (std::size_t i = 0; i < pages.size(); ++i) {
        ASSERT_EQ(pages[i], sequence.pages[i]->page);
        ASSERT_EQ(allocator_.ref_count(pages[i]), sequence.pages[i].use_count());
        ++num_holders[static_cast<std::size_t>(pages[i])];
      }
    }
    for (std::int32_t page = 0; page < allocator_.num_pages(); ++page) {
      ASSERT_EQ(allocator_.ref_count(page), num_holders[static_cast<std::size_t>(page)]);
    }
  }

  PageAllocator allocator_;
  Rng rng_;
  std::vector<std::int64_t> memory_;  // [num_pages, page_size]
  std::shared_ptr<std::int32_t> num_live_pages_;
  std::vector<Sequence> sequences_;
  std::vector<SequenceId> freed_;
  SequenceId last_id_ = -1;
  std::int64_t next_value_ = 0;
  std::int64_t num_out_of_pages_ = 0;
  std::int64_t num_copies_ = 0;
  std::int64_t num_failed_allocations_ = 0;
};

struct Pool {
  std::int32_t num_pages;
  std::int32_t page_size;
};

class PageAllocatorProperty : public ::testing::TestWithParam<Pool> {};

TEST_P(PageAllocatorProperty, AgreesWithTheModel) {
  Simulation simulation(GetParam().num_pages, GetParam().page_size, make_rng());
  for (int i = 0; i < kOperationsAPool; ++i) {
    simulation.step();
    ASSERT_FALSE(HasFailure()) << "operation " << i;
  }
  simulation.check_contents();
  simulation.free_all();
  // The run met what it is for.
  EXPECT_GT(simulation.num_out_of_pages(), 0);
  EXPECT_GT(simulation.num_failed_allocations(), 0);
  if (GetParam().page_size > 1 && GetParam().num_pages > 1) {
    EXPECT_GT(simulation.num_copies(), 0);
  }
}

TEST_P(PageAllocatorProperty, TheSameCallsGiveTheSamePages) {
  Simulation first(GetParam().num_pages, GetParam().page_size, make_rng());
  Simulation second(GetParam().num_pages, GetParam().page_size, make_rng());
  for (int i = 0; i < 2000; ++i) {
    first.step();
    second.step();
  }
  Snapshot a = first.snapshot();
  Snapshot b = second.snapshot();
  a.page_addresses.clear();
  b.page_addresses.clear();
  EXPECT_TRUE(a == b);
}

INSTANTIATE_TEST_SUITE_P(Pools, PageAllocatorProperty,
                         ::testing::Values(Pool{0, 4}, Pool{1, 1}, Pool{1, 7}, Pool{5, 1},
                                           Pool{7, 3}, Pool{16, 16}, Pool{40, 5}, Pool{64, 64}),
                         [](const auto& param_info) {
                           return std::to_string(param_info.param.num_pages) + "PagesOf" +
                                  std::to_string(param_info.param.page_size);
                         });

}  // namespace
}  // namespace seesaw
