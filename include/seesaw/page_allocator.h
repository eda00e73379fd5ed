// Who owns which page of a paged cache. Bookkeeping only: it never touches the cache's memory.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "seesaw/types/export.h"
#include "seesaw/types/page_copy.h"
#include "seesaw/types/status.h"

namespace seesaw {

/// Identifies a sequence of tokens; never reused by one allocator.
using SequenceId = std::int64_t;

/// Pages of one pool, counted by reference: forks and prefixes share pages until one of them
/// writes. Not thread-safe: one owner, as a scheduler loop is. Every failing call changes nothing,
/// also one that throws std::bad_alloc. The same calls give the same pages. docs/paged_cache.md
/// walks through a sequence's life.
///
/// What a caller promises, so that sequences read back what they wrote:
///   - after one or more calls of extend, the copies are made in the order given (copy_pages does),
///     then the tokens are written, then anything else may read;
///   - a sequence is forked or shared only when all tokens that the call shares are written;
///   - after free or truncate, slots handed out for what they gave up are not written any more.
class SEESAW_API PageAllocator {
 public:
  /// num_pages pages of page_size tokens, all free; page 0 is handed out first.
  /// Errors by exception Error: kInvalidArgument (num_pages < 0 or page_size < 1).
  PageAllocator(std::int32_t num_pages, std::int32_t page_size);

  // Two owners of one pool would hand out the same page twice.
  PageAllocator(const PageAllocator&) = delete;
  PageAllocator& operator=(const PageAllocator&) = delete;
  PageAllocator(PageAllocator&&) noexcept = default;
  PageAllocator& operator=(PageAllocator&&) noexcept = default;

  /// A new empty sequence. It holds no page.
  SequenceId create();

  /// Makes room for num_tokens more. Where the last page is shared and partly filled it is
  /// replaced by an own page; the copy to make before writing is appended to `copies`. The tokens
  /// added are in pages that no other sequence holds. num_tokens = 0 does nothing.
  /// Errors: kOutOfPages, kInvalidArgument (unknown sequence, negative count).
  Status extend(SequenceId sequence, std::int64_t num_tokens, std::vector<PageCopy>& copies);

  /// Free pages that extend would take, so that a scheduler can ask before it admits or preempts.
  /// Errors: kInvalidArgument (unknown sequence, negative count).
  Result<std::int64_t> num_pages_to_extend(SequenceId sequence, std::int64_t num_tokens) const;

  /// A new sequence that shares all tokens of `sequence`. Takes no page.
  /// Errors: kInvalidArgument (unknown sequence).
  Result<SequenceId> fork(SequenceId sequence);

  /// A new sequence that shares the first num_tokens tokens of `sequence`. Takes no page.
  /// Errors: kInvalidArgument (unknown sequence, more tokens than it has, negative count).
  Result<SequenceId> share_prefix(SequenceId sequence, std::int64_t num_tokens);

  /// Forgets tokens behind the first num_tokens; pages that hold none of the rest go back.
  /// Errors: kInvalidArgument (unknown sequence, more tokens than it has, negative count).
  Status truncate(SequenceId sequence, std::int64_t num_tokens);

  /// Gives the sequence's pages back, those that no other sequence shares to the pool.
  /// Errors: kInvalidArgument (unknown sequence, as one freed before is).
  Status free(SequenceId sequence);

  /// Pages in token order; valid until the sequence changes. Empty for an unknown sequence.
  std::span<const std::int32_t> pages(SequenceId sequence) const noexcept;
  /// Tokens of the sequence; -1 for an unknown one.
  std::int64_t num_tokens(SequenceId sequence) const noexcept;
  /// Pages that free would return to the pool: those no other sequence shares. -1 for an unknown
  /// sequence. Time is linear in its pages.
  std::int32_t num_own_pages(SequenceId sequence) const noexcept;
  /// page * page_size + offset of a token, as kv_cache's slot_mapping wants it.
  /// Errors: kInvalidArgument (unknown sequence, no such token).
  Result<std::int64_t> slot(SequenceId sequence, std::int64_t token_idx) const;
  /// The slots of tokens first_token, first_token + 1, ..: as many as `slots` has room for.
  /// Errors: kInvalidArgument (unknown sequence, tokens it does not have).
  Status slots(SequenceId sequence, std::int64_t first_token, std::span<std::int64_t> slots) const;

  std::int32_t page_size() const noexcept { return page_size_; }
  std::int32_t num_pages() const noexcept { return static_cast<std::int32_t>(ref_counts_.size()); }
  std::int32_t num_free_pages() const noexcept {
    return static_cast<std::int32_t>(free_pages_.size());
  }
  /// Sequences that hold the page; 0 of a free one, -1 of one outside the pool.
  std::int32_t ref_count(std::int32_t page) const noexcept;
  std::size_t num_sequences() const noexcept { return sequences_.size(); }

 private:
  struct Sequence {
    std::vector<std::int32_t> pages;
    std::int64_t num_tokens = 0;
  };
  /// What extend has to take from the pool.
  struct Growth {
    bool copies_last_page = false;
    std::int64_t num_pages = 0;  // the copied page included
  };
  const Sequence* find(SequenceId sequence) const noexcept;
  Growth growth_of(const Sequence& sequence, std::int64_t num_tokens) const noexcept;
  std::int32_t take_page() noexcept;
  void release_pages_from(Sequence& sequence, std::size_t first_page_idx) noexcept;

  std::int32_t page_size_;
  SequenceId next_id_ = 0;
  std::vector<std::int32_t> ref_counts_;
  std::vector<std::int32_t> free_pages_;  // a stack: the page freed last is the warmest
  std::unordered_map<SequenceId, Sequence> sequences_;
};

}  // namespace seesaw
