#include "support/allocation_hooks.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace seesaw::testing {
namespace {

constexpr std::int64_t kNever = -1;
std::atomic<std::int64_t> allocation_count{0};
thread_local std::int64_t allocations_left = kNever;

}  // namespace

std::int64_t num_allocations() noexcept { return allocation_count.load(std::memory_order_relaxed); }

FailingAllocations::FailingAllocations(std::int64_t countdown) noexcept {
  allocations_left = countdown;
}
FailingAllocations::~FailingAllocations() { allocations_left = kNever; }

static void* counted_allocate(std::size_t num_bytes) {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* memory = std::malloc(num_bytes == 0 ? 1 : num_bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace seesaw::testing

// The forms for over-aligned types keep their own matching pair; new[] calls new.
void* operator new(std::size_t num_bytes) { return seesaw::testing::counted_allocate(num_bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
