#include "cli/page_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

namespace seesaw::cli {
namespace {

// A prime, so that pages that repeat the values begin at another one of them.
constexpr std::int64_t kPeriod = 2'097'169;

template <typename Value>
void store_random(std::byte* to, std::int64_t num_values, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < num_values; ++i) {
    const auto value = static_cast<Value>(normal(generator));
    std::memcpy(to + i * static_cast<std::int64_t>(sizeof value), &value, sizeof value);
  }
}

}  // namespace

PageMemory::PageMemory(std::int64_t num_bytes) : size_(static_cast<std::size_t>(num_bytes)) {
  if (size_ == 0) return;
  void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::madvise(memory, size_, MADV_HUGEPAGE);  // refused where the system has none: then without
  data_ = static_cast<std::byte*>(memory);
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

PageMemory random_values(DType dtype, std::int64_t num_values, std::uint64_t seed) {
  const auto value_bytes = static_cast<std::int64_t>(size_bytes(dtype));
  PageMemory memory(num_values * value_bytes);
  const std::int64_t num_random = std::min(num_values, kPeriod);
  switch (dtype) {
    case DType::kBFloat16:
      store_random<BFloat16>(memory.data(), num_random, seed);
      break;
    case DType::kFloat16:
      store_random<Float16>(memory.data(), num_random, seed);
      break;
    default:
      store_random<float>(memory.data(), num_random, seed);
      break;
  }
  const auto period = static_cast<std::size_t>(num_random * value_bytes);
  for (std::size_t at = period; at < memory.size(); at += period) {
    std::memcpy(memory.data() + at, memory.data(), std::min(period, memory.size() - at));
  }
  return memory;
}

}  // namespace seesaw::cli
