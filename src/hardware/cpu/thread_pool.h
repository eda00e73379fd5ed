// A fixed team of threads that runs one function on all workers at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace seesaw::cpu {

/// Threads are started once; between launches they spin for a moment (a decode step follows a
/// decode step within microseconds), then sleep. Worker 0 is the calling thread.
class ThreadPool {
 public:
  /// Starts num_threads - 1 threads; num_threads >= 1. Threads are not pinned.
  /// Errors by exception Error: kInvalidArgument (num_threads < 1), kDeviceError (the system
  /// refused a thread; those already started have ended).
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept { return static_cast<int>(threads_.size()) + 1; }

  /// Calls fn(worker_idx) once on every worker and returns when all have returned. Calls from
  /// several threads take turns. fn must not throw and must not call run on the same pool.
  /// Nothing is allocated.
  template <typename Fn>
  void run(Fn&& fn) {
    using Function = std::remove_reference_t<Fn>;
    run_erased(
        [](void* context, int worker_idx) { (*static_cast<Function*>(context))(worker_idx); },
        const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
  }

 private:
  using Job = void (*)(void* context, int worker_idx);
  void run_erased(Job job, void* context);
  void work(int worker_idx);
  std::uint64_t next_generation(std::uint64_t seen);
  void wait_until_all_returned();
  void stop();

  std::vector<std::thread> threads_;
  bool has_core_for_each_ = true;  // else spinning keeps the awaited thread off its core
  std::mutex turn_;                // one launch at a time
  std::mutex sleep_;
  std::condition_variable wake_;  // workers wait here for a launch
  std::condition_variable done_;  // the caller waits here for the last worker
  Job job_ = nullptr;
  void* context_ = nullptr;

  // Cache lines of their own: idle workers read the first all the time, busy ones write the second.
  alignas(64) std::atomic<std::uint64_t> generation_{0};  // counts launches; a change means work
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<int> num_running_{0};
  std::atomic<int> num_sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
};

}  // namespace seesaw::cpu
