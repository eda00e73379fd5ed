#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace seesaw::emulator {

// Mapped, not allocated: pages that are not touched cost nothing, and there are thousands of
// stacks.
Fiber::Fiber()
    : stack_(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (stack_ == MAP_FAILED) throw std::bad_alloc();
}

Fiber::~Fiber() { munmap(stack_, kStackBytes); }

void Fiber::enter(unsigned high, unsigned low) {
  auto* const self =
      reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | std::uintptr_t{low});
  (*self->body_)();
  self->is_done_ = true;
  setcontext(&self->outside_);
}

void Fiber::start(const std::function<void()>* body) {
  body_ = body;
  is_done_ = false;
  getcontext(&inside_);
  inside_.uc_stack = {.ss_sp = stack_, .ss_flags = 0, .ss_size = kStackBytes};
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

void Fiber::resume() { swapcontext(&outside_, &inside_); }

void Fiber::yield() { swapcontext(&inside_, &outside_); }

}  // namespace seesaw::emulator
