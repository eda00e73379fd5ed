// Threads for measuring the machine itself, apart from any library's pool.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace seesaw::bench {

/// Runs one function on all its threads, which sleep between calls so as to disturb nobody. All
/// begin together: a call returns once each has arrived and finished.
class ThreadTeam {
 public:
  explicit ThreadTeam(int num_threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }
  /// fn(thread_idx) on every thread, the caller's as index 0.
  void run(const std::function<void(int)>& fn);

 private:
  void work(int thread_idx);
  void start_together();

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  const std::function<void(int)>* fn_ = nullptr;
  std::uint64_t generation_ = 0;
  int num_running_ = 0;
  bool stopping_ = false;
  std::atomic<int> num_arrived_{0};
};

}  // namespace seesaw::bench
