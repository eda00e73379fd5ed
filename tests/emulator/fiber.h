// A stack of its own that runs until it yields.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace seesaw::emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// What resume() runs from the beginning; the fiber is free again when it returns.
  void start(const std::function<void()>* body);
  /// Returns when the fiber yields, or is done.
  void resume();
  /// From inside: back to who resumed it.
  void yield();
  bool is_done() const { return is_done_; }

 private:
  static void enter(unsigned high, unsigned low);

  static constexpr std::size_t kStackBytes = 128 << 10;
  void* stack_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  const std::function<void()>* body_ = nullptr;
  bool is_done_ = true;
};

}  // namespace seesaw::emulator
