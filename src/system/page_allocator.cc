#include "seesaw/page_allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace seesaw {
namespace {

template <typename... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

Status unknown(SequenceId sequence) {
  return invalid("sequence: is {}, must be one that was created and not freed", sequence);
}

Status negative_count(std::int64_t num_tokens) {
  return invalid("num_tokens: is {}, must be 0 or more", num_tokens);
}

/// Room for num_more elements, so that adding them cannot throw. Capacity grows geometrically:
/// adding one at a time stays linear.
template <typename T>
void make_room(std::vector<T>& elements, std::size_t num_more) {
  const std::size_t wanted = elements.size() + num_more;
  if (wanted > elements.capacity()) elements.reserve(std::max(wanted, 2 * elements.capacity()));
}

}  // namespace

PageAllocator::PageAllocator(std::int32_t num_pages, std::int32_t page_size)
    : page_size_(page_size) {
  if (num_pages < 0) throw Error(invalid("num_pages: is {}, must be 0 or more", num_pages));
  if (page_size < 1) throw Error(invalid("page_size: is {}, must be at least 1", page_size));
  const auto count = static_cast<std::size_t>(num_pages);
  ref_counts_.assign(count, 0);
  free_pages_.resize(count);  // full, so that giving pages back never allocates
  for (std::size_t i = 0; i < count; ++i) {
    free_pages_[i] = static_cast<std::int32_t>(count - 1 - i);
  }
}

const PageAllocator::Sequence* PageAllocator::find(SequenceId sequence) const noexcept {
  const auto found = sequences_.find(sequence);
  return found == sequences_.end() ? nullptr : &found->second;
}

SequenceId PageAllocator::create() {
  sequences_.emplace(next_id_, Sequence{});
  return next_id_++;
}

PageAllocator::Growth PageAllocator::growth_of(const Sequence& sequence,
                                               std::int64_t num_tokens) const noexcept {
  const std::int64_t capacity = static_cast<std::int64_t>(sequence.pages.size()) * page_size_;
  const std::int64_t room = capacity - sequence.num_tokens;  // in the last page
  Growth growth;
  if (num_tokens == 0) return growth;
  if (num_tokens > room) growth.num_pages = (num_tokens - room - 1) / page_size_ + 1;
  if (room > 0 && ref_count(sequence.pages.back()) > 1) {
    growth.copies_last_page = true;
    ++growth.num_pages;
  }
  return growth;
}

Result<std::int64_t> PageAllocator::num_pages_to_extend(SequenceId sequence,
                                                        std::int64_t num_tokens) const {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return unknown(sequence);
  if (num_tokens < 0) return negative_count(num_tokens);
  return growth_of(*found, num_tokens).num_pages;
}

std::int32_t PageAllocator::take_page() noexcept {
  const std::int32_t page = free_pages_.back();
  free_pages_.pop_back();
  ref_counts_[static_cast<std::size_t>(page)] = 1;
  return page;
}

Status PageAllocator::extend(SequenceId sequence, std::int64_t num_tokens,
                             std::vector<PageCopy>& copies) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return unknown(sequence);
  if (num_tokens < 0) return negative_count(num_tokens);
  Sequence& grown = found->second;
  const Growth growth = growth_of(grown, num_tokens);
  if (growth.num_pages > num_free_pages()) {
    return {StatusCode::kOutOfPages,
            fmt::format("num_tokens: is {} and takes {} more pages for sequence {}, must take at "
                        "most {} (free of {})",
                        num_tokens, growth.num_pages, sequence, num_free_pages(), num_pages())};
  }
  // All that may throw comes first, and last what would move the pages of an unchanged sequence.
  const std::int64_t num_added = growth.num_pages - (growth.copies_last_page ? 1 : 0);
  if (growth.copies_last_page) make_room(copies, 1);
  make_room(grown.pages, static_cast<std::size_t>(num_added));

  if (growth.copies_last_page) {
    const std::int32_t shared = grown.pages.back();
    grown.pages.back() = take_page();
    --ref_counts_[static_cast<std::size_t>(shared)];  // others hold it still
    copies.push_back({.from_page = shared,
                      .to_page = grown.pages.back(),
                      .num_tokens = static_cast<std::int32_t>(grown.num_tokens % page_size_)});
  }
  for (std::int64_t i = 0; i < num_added; ++i) grown.pages.push_back(take_page());
  grown.num_tokens += num_tokens;
  return Status::ok();
}

Result<SequenceId> PageAllocator::fork(SequenceId sequence) {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return unknown(sequence);
  return share_prefix(sequence, found->num_tokens);
}

Result<SequenceId> PageAllocator::share_prefix(SequenceId sequence, std::int64_t num_tokens) {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return unknown(sequence);
  if (num_tokens < 0 || num_tokens > found->num_tokens) {
    return invalid("num_tokens: is {}, must be in [0, {}], the tokens of sequence {}", num_tokens,
                   found->num_tokens, sequence);
  }
  const std::int64_t num_shared = (num_tokens + page_size_ - 1) / page_size_;
  Sequence prefix{.pages = {found->pages.begin(), found->pages.begin() + num_shared},
                  .num_tokens = num_tokens};
  const auto added = sequences_.emplace(next_id_, std::move(prefix)).first;
  for (const std::int32_t page : added->second.pages) {
    ++ref_counts_[static_cast<std::size_t>(page)];
  }
  return next_id_++;
}

void PageAllocator::release_pages_from(Sequence& sequence, std::size_t first_page_idx) noexcept {
  while (sequence.pages.size() > first_page_idx) {
    const std::int32_t page = sequence.pages.back();
    sequence.pages.pop_back();
    if (--ref_counts_[static_cast<std::size_t>(page)] == 0) free_pages_.push_back(page);
  }
}

Status PageAllocator::truncate(SequenceId sequence, std::int64_t num_tokens) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return unknown(sequence);
  if (num_tokens < 0 || num_tokens > found->second.num_tokens) {
    return invalid("num_tokens: is {}, must be in [0, {}], the tokens of sequence {}", num_tokens,
                   found->second.num_tokens, sequence);
  }
  const std::int64_t num_kept = (num_tokens + page_size_ - 1) / page_size_;
  release_pages_from(found->second, static_cast<std::size_t>(num_kept));
  found->second.num_tokens = num_tokens;
  return Status::ok();
}

Status PageAllocator::free(SequenceId sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return unknown(sequence);
  release_pages_from(found->second, 0);
  sequences_.erase(found);
  return Status::ok();
}

std::span<const std::int32_t> PageAllocator::pages(SequenceId sequence) const noexcept {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return {};
  return found->pages;
}

std::int64_t PageAllocator::num_tokens(SequenceId sequence) const noexcept {
  const Sequence* const found = find(sequence);
  return found == nullptr ? -1 : found->num_tokens;
}

std::int32_t PageAllocator::num_own_pages(SequenceId sequence) const noexcept {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return -1;
  return static_cast<std::int32_t>(std::count_if(
      found->pages.begin(), found->pages.end(),
      [this](std::int32_t page) { return ref_counts_[static_cast<std::size_t>(page)] == 1; }));
}

Result<std::int64_t> PageAllocator::slot(SequenceId sequence, std::int64_t token_idx) const {
  std::int64_t value = 0;
  if (Status status = slots(sequence, token_idx, {&value, 1}); !status) return status;
  return value;
}

Status PageAllocator::slots(SequenceId sequence, std::int64_t first_token,
                            std::span<std::int64_t> slots) const {
  const Sequence* const found = find(sequence);
  if (found == nullptr) return unknown(sequence);
  const auto count = static_cast<std::int64_t>(slots.size());
  if (first_token < 0 || first_token > found->num_tokens ||
      count > found->num_tokens - first_token) {
    return invalid("tokens: are {} from {} on, must lie within the {} of sequence {}", count,
                   first_token, found->num_tokens, sequence);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t token_idx = first_token + i;
    const std::int32_t page = found->pages[static_cast<std::size_t>(token_idx / page_size_)];
    slots[static_cast<std::size_t>(i)] = std::int64_t{page} * page_size_ + token_idx % page_size_;
  }
  return Status::ok();
}

std::int32_t PageAllocator::ref_count(std::int32_t page) const noexcept {
  if (page < 0 || page >= num_pages()) return -1;
  return ref_counts_[static_cast<std::size_t>(page)];
}

}  // namespace seesaw
