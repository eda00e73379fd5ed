// Where a launch runs.
#pragma once

#include <memory>

namespace seesaw {

namespace cpu {
class ThreadPool;
}

/// A pool of CPU threads. Threads start once and sleep between launches. Calls of different
/// executors run side by side; calls of one executor, from whatever threads, run in turn.
class Executor {
 public:
  /// num_threads >= 1 threads, the caller's among them; 0 takes every core the process may use.
  static Executor cpu(int num_threads = 0);

  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;
  ~Executor();

  int num_threads() const noexcept;
  cpu::ThreadPool& thread_pool() const noexcept { return *pool_; }

 private:
  explicit Executor(std::unique_ptr<cpu::ThreadPool> pool);
  std::unique_ptr<cpu::ThreadPool> pool_;
};

}  // namespace seesaw
