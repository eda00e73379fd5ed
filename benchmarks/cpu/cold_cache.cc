#include "cpu/cold_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

namespace seesaw::bench {
namespace {

// A prime: pages that repeat the random values do so at another offset.
constexpr std::int64_t kRandomValues = 2'097'143;

void fill_random(HugeBuffer& buffer, DType dtype, std::int64_t num_values, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  const std::int64_t num_random = std::min(num_values, kRandomValues);
  for (std::int64_t i = 0; i < num_random; ++i) {
    const float value = normal(generator);
    if (dtype == DType::kBFloat16) {
      buffer.as<BFloat16>()[i] = BFloat16(value);
    } else {
      buffer.as<float>()[i] = value;
    }
  }
  const std::size_t period = static_cast<std::size_t>(num_random) * size_bytes(dtype);
  const std::size_t total = static_cast<std::size_t>(num_values) * size_bytes(dtype);
  for (std::size_t at = period; at < total; at += period) {
    std::memcpy(buffer.data() + at, buffer.data(), std::min(period, total - at));
  }
}

}  // namespace

HugeBuffer random_values(DType dtype, std::int64_t num_values, std::uint64_t seed) {
  HugeBuffer buffer(num_values * static_cast<std::int64_t>(size_bytes(dtype)));
  fill_random(buffer, dtype, num_values, seed);
  return buffer;
}

ColdCache::ColdCache(DType dtype, std::int64_t d_qk, std::int64_t page_size,
                     std::int64_t pool_bytes, std::uint64_t seed)
    : dtype_(dtype), d_qk_(d_qk), page_size_(page_size) {
  const std::int64_t page_bytes = page_size * d_qk * static_cast<std::int64_t>(size_bytes(dtype));
  num_pages_ = pool_bytes / page_bytes;
  const std::int64_t num_values = num_pages_ * page_size * d_qk;
  paged_ = random_values(dtype, num_values, seed);
  contiguous_ = random_values(dtype, num_values, seed + 1);
  natural_order_.resize(static_cast<std::size_t>(num_pages_));
  std::iota(natural_order_.begin(), natural_order_.end(), 0);
  shuffled_order_ = natural_order_;
  std::mt19937_64 generator(seed + 2);
  std::shuffle(shuffled_order_.begin(), shuffled_order_.end(), generator);
}

std::int64_t ColdCache::num_requests(std::int64_t s_k) const {
  return num_pages_ / (s_k / page_size_);
}

std::int64_t ColdCache::next_request(std::int64_t s_k) {
  return next_request_++ % num_requests(s_k);
}

std::int64_t ColdCache::next_contiguous_request(std::int64_t s_k) {
  return next_contiguous_request_++ % num_requests(s_k);
}

ConstTensorView ColdCache::view_of(const HugeBuffer& pool) const {
  return {pool.data(), dtype_, {num_pages_, page_size_, 1, d_qk_}};
}

ConstTensorView ColdCache::table_of(const std::vector<std::int32_t>& order,
                                    std::int64_t request_idx, std::int64_t s_k) const {
  const std::int64_t num_pages = s_k / page_size_;
  return {order.data() + request_idx * num_pages, DType::kInt32, {1, num_pages}};
}

ConstTensorView ColdCache::pages() const { return view_of(paged_); }

ConstTensorView ColdCache::block_table(std::int64_t request_idx, std::int64_t s_k) const {
  return table_of(shuffled_order_, request_idx, s_k);
}

const std::byte* ColdCache::contiguous(std::int64_t request_idx, std::int64_t s_k) const {
  return contiguous_.data() +
         request_idx * s_k * d_qk_ * static_cast<std::int64_t>(size_bytes(dtype_));
}

ConstTensorView ColdCache::contiguous_pages() const { return view_of(contiguous_); }

ConstTensorView ColdCache::contiguous_block_table(std::int64_t request_idx,
                                                  std::int64_t s_k) const {
  return table_of(natural_order_, request_idx, s_k);
}

}  // namespace seesaw::bench
