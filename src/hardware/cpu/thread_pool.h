// A fixed team of threads that runs one function on all workers at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace seesaw::cpu {

/// Threads are started once; between launches they spin for a moment (a decode step follows a
/// decode step within microseconds), then sleep. Worker 0 is the calling thread.
class ThreadPool {
 public:
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept { return static_cast<int>(threads_.size()) + 1; }

  /// Calls fn(worker_idx) once on every worker and returns when all have returned. Calls from
  /// several threads take turns. fn must not throw and must not call run on the same pool.
  template <typename Fn>
  void run(Fn&& fn) {
    run_erased([](void* context, int worker_idx) { (*static_cast<std::remove_reference_t<Fn>*>(context))(worker_idx); },
               &fn);
  }

 private:
  using Job = void (*)(void* context, int worker_idx);
  void run_erased(Job job, void* context);
  void work(int worker_idx);

  std::vector<std::thread> threads_;
  std::mutex turn_;  // one launch at a time
  std::mutex sleep_;
  std::condition_variable wake_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  std::atomic<std::uint64_t> generation_{0};  // counts launches; a change means work
  std::atomic<int> num_running_{0};
  std::atomic<int> num_sleeping_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace seesaw::cpu
