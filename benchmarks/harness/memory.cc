#include "harness/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace seesaw::bench {
namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLine = 64;
}  // namespace

void HugeBuffer::Release::operator()(std::byte* pointer) const { std::free(pointer); }

HugeBuffer::HugeBuffer(std::int64_t num_bytes) : num_bytes_(num_bytes) {
  const auto wanted = static_cast<std::size_t>(num_bytes);
  const std::size_t alignment = wanted >= kHugePage ? kHugePage : kLine;
  const std::size_t rounded = (wanted + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
  std::memset(memory, 0, rounded);
  data_.reset(static_cast<std::byte*>(memory));
}

}  // namespace seesaw::bench
