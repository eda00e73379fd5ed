// Where a launch runs.
#pragma once

#include <memory>

#include "seesaw/types/export.h"

namespace seesaw {

namespace cpu {
class ThreadPool;
}

/// A pool of CPU threads. Threads start once and sleep between launches. Calls of different
/// executors run side by side; calls of one executor, from whatever threads, run in turn.
class SEESAW_API Executor {
 public:
  /// More threads than this are not started, however many are asked for.
  static constexpr int kMaxThreads = 1024;

  /// num_threads >= 1 threads, the caller's among them, at most kMaxThreads; 0 takes every core
  /// the process may use (its affinity mask and its control group's CPU quota).
  /// Errors by exception Error: kInvalidArgument (num_threads < 0), kDeviceError (the system
  /// refused a thread).
  static Executor cpu(int num_threads = 0);

  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;
  ~Executor();

  /// 0 of an executor that was moved from.
  int num_threads() const noexcept;
  /// Not of an executor that was moved from.
  cpu::ThreadPool& thread_pool() const noexcept { return *pool_; }

 private:
  explicit Executor(std::unique_ptr<cpu::ThreadPool> pool);
  std::unique_ptr<cpu::ThreadPool> pool_;
};

}  // namespace seesaw
