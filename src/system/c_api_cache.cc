// The C ABI of the paged cache: its operations and its page allocator.
#include <cstdint>
#include <memory>
#include <vector>

#include "seesaw/c_api.h"
#include "seesaw/executor.h"
#include "seesaw/kv_cache.h"
#include "seesaw/page_allocator.h"
#include "system/c_api_boundary.h"

using seesaw::KvFormat;
using seesaw::Result;
using seesaw::Status;
using namespace seesaw::c_api;

struct seesaw_page_allocator {
  seesaw::PageAllocator allocator;
  std::vector<seesaw::PageCopy> copies;  // of the extension under way; kept for its memory
};

// ---- Cache operations ----

seesaw_status seesaw_append(const seesaw_append_args* args, seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_append_args c{};
    seesaw::AppendArgs append_args;
    KvFormat format{};
    Status status = check_pointer(executor, "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) status = check_reserved(c.reserved, "args");
    if (status.is_ok()) status = to_enum(c.kv_format, KvFormat::kFp8V4, "args.kv_format", format);
    if (status.is_ok()) status = to_view(c.latent, "latent", append_args.latent);
    if (status.is_ok()) status = to_view(c.rope, "rope", append_args.rope);
    if (status.is_ok()) status = to_view(c.slot_mapping, "slot_mapping", append_args.slot_mapping);
    if (status.is_ok()) status = to_view(c.kv_cache, "kv_cache", append_args.kv_cache);
    if (!status.is_ok()) return status;
    return seesaw::append(append_args, format, *executor_of(executor));
  });
}

seesaw_status seesaw_gather(const seesaw_gather_args* args, seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_gather_args c{};
    seesaw::GatherArgs gather_args;
    KvFormat format{};
    Status status = check_pointer(executor, "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) status = check_reserved(c.reserved, "args");
    if (status.is_ok()) status = to_enum(c.kv_format, KvFormat::kFp8V4, "args.kv_format", format);
    if (status.is_ok()) status = to_view(c.kv_cache, "kv_cache", gather_args.kv_cache);
    if (status.is_ok()) status = to_view(c.block_table, "block_table", gather_args.block_table);
    if (status.is_ok()) {
      status = to_view(c.cache_seqlens, "cache_seqlens", gather_args.cache_seqlens);
    }
    if (status.is_ok()) status = to_view(c.out, "out", gather_args.out);
    if (!status.is_ok()) return status;
    return seesaw::gather(gather_args, format, *executor_of(executor));
  });
}

seesaw_status seesaw_convert(const seesaw_convert_args* args, seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_convert_args c{};
    seesaw::ConstTensorView from;
    seesaw::TensorView to;
    KvFormat from_format{};
    KvFormat to_format{};
    Status status = check_pointer(executor, "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) {
      status = to_enum(c.from_format, KvFormat::kFp8V4, "args.from_format", from_format);
    }
    if (status.is_ok()) {
      status = to_enum(c.to_format, KvFormat::kFp8V4, "args.to_format", to_format);
    }
    if (status.is_ok()) status = to_view(c.from, "from", from);
    if (status.is_ok()) status = to_view(c.to, "to", to);
    if (!status.is_ok()) return status;
    return seesaw::convert(from, from_format, to, to_format, *executor_of(executor));
  });
}

seesaw_status seesaw_copy_pages(const seesaw_copy_pages_args* args,
                                seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_copy_pages_args c{};
    seesaw::TensorView kv_cache;
    KvFormat format{};
    Status status = check_pointer(executor, "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) status = check_reserved(c.reserved, "args");
    if (status.is_ok() && c.num_copies > 0) status = check_pointer(c.copies, "args.copies");
    if (status.is_ok()) status = to_enum(c.kv_format, KvFormat::kFp8V4, "args.kv_format", format);
    if (status.is_ok()) status = to_view(c.kv_cache, "kv_cache", kv_cache);
    if (!status.is_ok()) return status;
    std::vector<seesaw::PageCopy> copies;
    for (std::size_t i = 0; i < c.num_copies; ++i) {
      const seesaw_page_copy& copy = c.copies[i];
      copies.push_back({copy.from_page, copy.to_page, copy.num_tokens});
    }
    return seesaw::copy_pages(copies, kv_cache, format, *executor_of(executor));
  });
}

// ---- Page allocator ----

namespace {

/// Hands the value out, or the status that there is none.
template <typename T>
Status hand_out(const Result<T>& result, T* out) {
  if (!result) return result.status();
  *out = result.value();
  return Status::ok();
}

Status check_sequence(const seesaw_page_allocator& handle, seesaw_sequence sequence) {
  if (handle.allocator.num_tokens(sequence) >= 0) return Status::ok();
  return invalid("sequence: is {}, must be one that was created and not freed", sequence);
}

}  // namespace

seesaw_status seesaw_page_allocator_create(int32_t num_pages, int32_t page_size,
                                           seesaw_page_allocator** allocator) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(allocator, "allocator"); !status.is_ok()) return status;
    auto made = std::make_unique<seesaw_page_allocator>(
        seesaw_page_allocator{seesaw::PageAllocator(num_pages, page_size), {}});
    *allocator = made.release();
    return Status::ok();
  });
}

seesaw_status seesaw_page_allocator_destroy(seesaw_page_allocator* allocator) noexcept {
  delete allocator;
  return SEESAW_OK;
}

seesaw_status seesaw_sequence_create(seesaw_page_allocator* allocator,
                                     seesaw_sequence* sequence) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, sequence}, "allocator", "sequence");
    if (status.is_ok()) *sequence = allocator->allocator.create();
    return status;
  });
}

seesaw_status seesaw_sequence_extend(seesaw_page_allocator* allocator, seesaw_sequence sequence,
                                     int64_t num_tokens, seesaw_page_copy* copy) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, copy}, "allocator", "copy");
    if (!status.is_ok()) return status;
    allocator->copies.clear();
    status = allocator->allocator.extend(sequence, num_tokens, allocator->copies);
    if (!status.is_ok()) return status;
    if (allocator->copies.size() > 1) {
      return {seesaw::StatusCode::kInternal,
              "copies: are more than the one that the C API returns"};
    }
    *copy = {-1, -1, 0};
    for (const seesaw::PageCopy& made : allocator->copies) {
      *copy = {made.from_page, made.to_page, made.num_tokens};
    }
    return Status::ok();
  });
}

seesaw_status seesaw_sequence_fork(seesaw_page_allocator* allocator, seesaw_sequence sequence,
                                   seesaw_sequence* fork) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, fork}, "allocator", "fork");
    return status.is_ok() ? hand_out(allocator->allocator.fork(sequence), fork) : status;
  });
}

seesaw_status seesaw_sequence_share_prefix(seesaw_page_allocator* allocator,
                                           seesaw_sequence sequence, int64_t num_tokens,
                                           seesaw_sequence* shared) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, shared}, "allocator", "shared");
    if (!status.is_ok()) return status;
    return hand_out(allocator->allocator.share_prefix(sequence, num_tokens), shared);
  });
}

seesaw_status seesaw_sequence_truncate(seesaw_page_allocator* allocator, seesaw_sequence sequence,
                                       int64_t num_tokens) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointer(allocator, "allocator");
    return status.is_ok() ? allocator->allocator.truncate(sequence, num_tokens) : status;
  });
}

seesaw_status seesaw_sequence_free(seesaw_page_allocator* allocator,
                                   seesaw_sequence sequence) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointer(allocator, "allocator");
    return status.is_ok() ? allocator->allocator.free(sequence) : status;
  });
}

seesaw_status seesaw_sequence_pages(const seesaw_page_allocator* allocator,
                                    seesaw_sequence sequence, const int32_t** pages,
                                    size_t* num_pages) noexcept {
  return guarded([&]() -> Status {
    Status status =
        check_pointers({allocator, pages, num_pages}, "allocator", "pages", "num_pages");
    if (status.is_ok()) status = check_sequence(*allocator, sequence);
    if (!status.is_ok()) return status;
    const auto of_sequence = allocator->allocator.pages(sequence);
    *pages = of_sequence.data();
    *num_pages = of_sequence.size();
    return Status::ok();
  });
}

seesaw_status seesaw_sequence_num_tokens(const seesaw_page_allocator* allocator,
                                         seesaw_sequence sequence, int64_t* num_tokens) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, num_tokens}, "allocator", "num_tokens");
    if (status.is_ok()) status = check_sequence(*allocator, sequence);
    if (status.is_ok()) *num_tokens = allocator->allocator.num_tokens(sequence);
    return status;
  });
}

seesaw_status seesaw_sequence_slots(const seesaw_page_allocator* allocator,
                                    seesaw_sequence sequence, int64_t first_token, int64_t* slots,
                                    size_t num_slots) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointer(allocator, "allocator");
    if (status.is_ok() && num_slots > 0) status = check_pointer(slots, "slots");
    if (status.is_ok() && num_slots > PTRDIFF_MAX) {
      status = invalid("num_slots: is {}, must be <= {}", num_slots, PTRDIFF_MAX);
    }
    if (!status.is_ok()) return status;
    return allocator->allocator.slots(sequence, first_token, {slots, num_slots});
  });
}

seesaw_status seesaw_sequence_num_pages_to_extend(const seesaw_page_allocator* allocator,
                                                  seesaw_sequence sequence, int64_t num_tokens,
                                                  int64_t* num_pages) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, num_pages}, "allocator", "num_pages");
    if (!status.is_ok()) return status;
    return hand_out(allocator->allocator.num_pages_to_extend(sequence, num_tokens), num_pages);
  });
}

seesaw_status seesaw_page_allocator_num_free_pages(const seesaw_page_allocator* allocator,
                                                   int32_t* num_free_pages) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, num_free_pages}, "allocator", "num_free_pages");
    if (status.is_ok()) *num_free_pages = allocator->allocator.num_free_pages();
    return status;
  });
}

seesaw_status seesaw_page_allocator_ref_count(const seesaw_page_allocator* allocator, int32_t page,
                                              int32_t* ref_count) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({allocator, ref_count}, "allocator", "ref_count");
    if (!status.is_ok()) return status;
    const int32_t count = allocator->allocator.ref_count(page);
    if (count < 0) {
      return invalid("page: is {}, must be in [0, {})", page, allocator->allocator.num_pages());
    }
    *ref_count = count;
    return Status::ok();
  });
}
