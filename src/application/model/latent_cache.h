// The paged latent cache of all layers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config.h"
#include "seesaw/page_allocator.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw::model {

struct LatentCacheOptions {
  std::int64_t num_tokens = 0;  // rounded up to whole pages
  std::int64_t page_size = 64;
  KvFormat format = KvFormat::kBFloat16;
  std::int64_t memory_bytes = 0;  // of the machine; 0: unknown
};

/// One array [num_pages, page_size, 1, d_qk] a layer. A sequence has the same pages in every
/// layer, so one allocator serves all. The system gives memory to pages when they are first
/// written: an unused part of the cache costs address space only.
class LatentCache {
 public:
  /// Errors: kInvalidArgument (a size that is no positive number of pages, a quantized format, more
  /// bytes than the machine has).
  static Result<LatentCache> create(const Config& config, const LatentCacheOptions& options);

  LatentCache(LatentCache&& other) noexcept;
  LatentCache& operator=(LatentCache&& other) noexcept;
  ~LatentCache();

  PageAllocator& allocator() noexcept { return allocator_; }
  const PageAllocator& allocator() const noexcept { return allocator_; }
  TensorView layer(std::int64_t layer_idx) const noexcept;
  KvFormat format() const noexcept { return format_; }
  std::int64_t bytes() const noexcept { return static_cast<std::int64_t>(num_bytes_); }

 private:
  LatentCache(PageAllocator allocator, std::byte* memory, std::size_t num_bytes)
      : allocator_(std::move(allocator)), memory_(memory), num_bytes_(num_bytes) {}

  PageAllocator allocator_;
  std::byte* memory_ = nullptr;
  std::size_t num_bytes_ = 0;
  std::int64_t layer_bytes_ = 0;
  std::int64_t d_qk_ = 0;
  KvFormat format_ = KvFormat::kBFloat16;
};

}  // namespace seesaw::model
