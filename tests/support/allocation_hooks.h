// Watches operator new of the whole test program: link allocation_hooks.cc into it.
#pragma once

#include <cstdint>

namespace seesaw::testing {

/// Allocations made so far by every thread of the program.
std::int64_t num_allocations() noexcept;

/// While it lives, this thread's allocation number `countdown` (0: the next one) and all later
/// ones throw std::bad_alloc.
class FailingAllocations {
 public:
  explicit FailingAllocations(std::int64_t countdown) noexcept;
  ~FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
};

}  // namespace seesaw::testing
