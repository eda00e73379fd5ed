#include "harness/thread_team.h"

namespace seesaw::bench {

ThreadTeam::ThreadTeam(int num_threads) {
  for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadTeam::~ThreadTeam() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::start_together() {
  num_arrived_.fetch_add(1);
  while (num_arrived_.load() < num_threads()) std::this_thread::yield();
}

void ThreadTeam::run(const std::function<void(int)>& fn) {
  {
    std::lock_guard lock(mutex_);
    fn_ = &fn;
    num_arrived_ = 0;
    num_running_ = num_threads() - 1;
    ++generation_;
  }
  wake_.notify_all();
  start_together();
  fn(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return num_running_ == 0; });
}

void ThreadTeam::work(int thread_idx) {
  std::uint64_t seen = 0;
  for (;;) {
    const std::function<void(int)>* fn = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      fn = fn_;
    }
    start_together();
    (*fn)(thread_idx);
    std::lock_guard lock(mutex_);
    if (--num_running_ == 0) done_.notify_one();
  }
}

}  // namespace seesaw::bench
