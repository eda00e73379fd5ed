#include "model/latent_cache.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace seesaw::model {
namespace {

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

}  // namespace

Result<LatentCache> LatentCache::create(const Config& config, const LatentCacheOptions& options) {
  const auto dtype = plain_dtype(options.format);
  if (!dtype) {
    return invalid(fmt::format("kv_format: is {}, must be float32, bfloat16 or float16",
                               to_string(options.format)));
  }
  constexpr std::int64_t kMaxPageSize = 1 << 20;
  if (options.page_size < 1 || options.page_size > kMaxPageSize) {
    return invalid(
        fmt::format("page_size: is {}, must be from 1 to {}", options.page_size, kMaxPageSize));
  }
  constexpr std::int64_t kMaxTokens = std::int64_t{1} << 31;
  if (options.num_tokens < 1 || options.num_tokens > kMaxTokens) {
    return invalid(
        fmt::format("cache_tokens: is {}, must be from 1 to {}", options.num_tokens, kMaxTokens));
  }
  const std::int64_t num_pages = (options.num_tokens + options.page_size - 1) / options.page_size;
  if (num_pages > std::numeric_limits<std::int32_t>::max()) {
    return invalid(fmt::format("cache_tokens: is {}, must be <= {} pages of {} tokens",
                               options.num_tokens, std::numeric_limits<std::int32_t>::max(),
                               options.page_size));
  }
  // At most 2^31 + 2^20 tokens, 2^21 elements a token, 4 bytes an element: fits 2^63.
  const std::int64_t layer_bytes =
      num_pages * options.page_size * config.d_qk() * static_cast<std::int64_t>(size_bytes(*dtype));
  const std::int64_t most_bytes =
      options.memory_bytes > 0 ? options.memory_bytes : std::numeric_limits<std::int64_t>::max();
  if (layer_bytes > most_bytes / config.num_layers) {
    return invalid(
        fmt::format("cache_tokens: is {}, which takes {} layers of {} bytes, must fit the {} bytes "
                    "of memory here",
                    options.num_tokens, config.num_layers, layer_bytes, most_bytes));
  }
  const auto num_bytes = static_cast<std::size_t>(layer_bytes * config.num_layers);
  void* memory = ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return invalid(fmt::format("cache_tokens: is {}, but the system refused {} bytes: {}",
                               options.num_tokens, num_bytes, std::strerror(errno)));
  }
  LatentCache cache(PageAllocator(static_cast<std::int32_t>(num_pages),
                                  static_cast<std::int32_t>(options.page_size)),
                    static_cast<std::byte*>(memory), num_bytes);
  cache.layer_bytes_ = layer_bytes;
  cache.d_qk_ = config.d_qk();
  cache.format_ = options.format;
  return cache;
}

LatentCache::LatentCache(LatentCache&& other) noexcept
    : allocator_(std::move(other.allocator_)),
      memory_(std::exchange(other.memory_, nullptr)),
      num_bytes_(std::exchange(other.num_bytes_, 0)),
      layer_bytes_(other.layer_bytes_),
      d_qk_(other.d_qk_),
      format_(other.format_) {}

LatentCache& LatentCache::operator=(LatentCache&& other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(memory_, other.memory_);
  std::swap(num_bytes_, other.num_bytes_);
  layer_bytes_ = other.layer_bytes_;
  d_qk_ = other.d_qk_;
  format_ = other.format_;
  return *this;
}

LatentCache::~LatentCache() {
  if (memory_ != nullptr) ::munmap(memory_, num_bytes_);
}

TensorView LatentCache::layer(std::int64_t layer_idx) const noexcept {
  return {memory_ + layer_idx * layer_bytes_,
          *plain_dtype(format_),
          {allocator_.num_pages(), allocator_.page_size(), 1, d_qk_}};
}

}  // namespace seesaw::model
