// Who owns which page of a paged cache. Bookkeeping only: it never touches the cache's memory.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "seesaw/types/export.h"
#include "seesaw/types/status.h"

namespace seesaw {

/// Identifies a sequence of tokens; never reused by one allocator.
using SequenceId = std::int64_t;

/// Contents to copy before a page is written, because it was shared (copy-on-write).
struct PageCopy {
  std::int32_t from_page = 0;
  std::int32_t to_page = 0;
  std::int32_t num_tokens = 0;  // leading tokens of the page that are in use
};

/// Pages of one pool, counted by reference: forks and prefixes share pages until one of them
/// writes. Not thread-safe: one owner, as a scheduler loop is. Every failing call changes nothing.
class SEESAW_API PageAllocator {
 public:
  /// Errors by exception Error: num_pages < 0 or page_size < 1.
  PageAllocator(std::int32_t num_pages, std::int32_t page_size);

  /// A new empty sequence.
  SequenceId create();

  /// Makes room for num_tokens more. Where the last page is shared and partly filled it is
  /// replaced by an own page; the copy to make before writing is appended to `copies`.
  /// Errors: kOutOfPages, kInvalidArgument (unknown sequence, negative count).
  Status extend(SequenceId sequence, std::int64_t num_tokens, std::vector<PageCopy>& copies);

  /// A new sequence that shares all tokens of `sequence`.
  Result<SequenceId> fork(SequenceId sequence);

  /// A new sequence that shares the first num_tokens tokens of `sequence`.
  Result<SequenceId> share_prefix(SequenceId sequence, std::int64_t num_tokens);

  /// Forgets tokens behind the first num_tokens; pages that hold none of the rest go back.
  Status truncate(SequenceId sequence, std::int64_t num_tokens);

  /// Gives the sequence's pages back, those that no other sequence shares to the pool.
  Status free(SequenceId sequence);

  /// Pages in token order; valid until the sequence changes. Empty for an unknown sequence.
  std::span<const std::int32_t> pages(SequenceId sequence) const noexcept;
  /// Tokens of the sequence; -1 for an unknown one.
  std::int64_t num_tokens(SequenceId sequence) const noexcept;
  /// page * page_size + offset of a token, as kv_cache's slot_mapping wants it.
  Result<std::int64_t> slot(SequenceId sequence, std::int64_t token_idx) const;

  std::int32_t page_size() const noexcept { return page_size_; }
  std::int32_t num_pages() const noexcept { return static_cast<std::int32_t>(ref_counts_.size()); }
  std::int32_t num_free_pages() const noexcept {
    return static_cast<std::int32_t>(free_pages_.size());
  }
  std::int32_t ref_count(std::int32_t page) const noexcept;
  std::size_t num_sequences() const noexcept { return sequences_.size(); }

 private:
  struct Sequence {
    std::vector<std::int32_t> pages;
    std::int64_t num_tokens = 0;
  };
  std::int32_t page_size_;
  SequenceId next_id_ = 0;
  std::vector<std::int32_t> ref_counts_;
  std::vector<std::int32_t> free_pages_;  // a stack: the page freed last is the warmest
  std::unordered_map<SequenceId, Sequence> sequences_;
};

}  // namespace seesaw
