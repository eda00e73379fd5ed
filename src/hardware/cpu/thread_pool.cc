#include "hardware/cpu/thread_pool.h"

#include <chrono>
#include <string>
#include <system_error>

#include "hardware/cpu/relax_core.h"
#include "hardware/device/available_cores.h"
#include "seesaw/types/status.h"

namespace seesaw::cpu {
namespace {

// A decode step follows the last one within this time in a serving loop; longer pauses are worth
// the few tens of microseconds that waking a sleeping thread takes.
constexpr std::chrono::microseconds kWaitAwake{100};
// Checks with a pause between before the core is offered to others for a moment. Where the awaited
// thread waits for this very core, spinning on would only delay it.
constexpr int kChecksPerYield = 64;

// Checks `ready` for kWaitAwake. False: it is time to sleep.
template <typename Ready>
bool becomes_ready_soon(bool may_spin, const Ready& ready) {
  if (ready()) return true;
  const int checks_per_yield = may_spin ? kChecksPerYield : 1;
  const auto end = std::chrono::steady_clock::now() + kWaitAwake;
  while (true) {
    for (int i = 0; i < checks_per_yield; ++i) {
      relax_core();
      if (ready()) return true;
    }
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::yield();
    if (ready()) return true;
  }
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads < 1) {
    throw Error(Status(StatusCode::kInvalidArgument,
                       "num_threads: is " + std::to_string(num_threads) + ", must be at least 1"));
  }
  has_core_for_each_ = num_threads <= available_cores();
  threads_.reserve(static_cast<std::size_t>(num_threads - 1));
  try {
    for (int worker_idx = 1; worker_idx < num_threads; ++worker_idx) {
      threads_.emplace_back([this, worker_idx] { work(worker_idx); });
    }
  } catch (const std::system_error& error) {
    const std::size_t num_started = threads_.size() + 1;
    stop();
    throw Error(Status(StatusCode::kDeviceError, "num_threads: is " + std::to_string(num_threads) +
                                                     ", but the system allowed only " +
                                                     std::to_string(num_started) + " (" +
                                                     error.what() + ")"));
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(sleep_);
    stopping_.store(true, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::run_erased(Job job, void* context) {
  const std::lock_guard turn(turn_);
  if (threads_.empty()) {
    job(context, 0);
    return;
  }
  job_ = job;
  context_ = context;
  num_running_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  // Sequentially consistent, here and in next_generation: either this thread sees the sleeper's
  // count, or the sleeper sees this generation; a wake-up is never lost.
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (num_sleeping_.load(std::memory_order_seq_cst) > 0) {
    { const std::lock_guard lock(sleep_); }  // a sleeper between its check and its wait gets there
    wake_.notify_all();
  }
  job(context, 0);
  wait_until_all_returned();
}

void ThreadPool::wait_until_all_returned() {
  const auto all_returned = [this] { return num_running_.load(std::memory_order_acquire) == 0; };
  if (becomes_ready_soon(has_core_for_each_, all_returned)) return;
  std::unique_lock lock(sleep_);
  caller_sleeps_.store(true, std::memory_order_seq_cst);
  done_.wait(lock, [this] { return num_running_.load(std::memory_order_seq_cst) == 0; });
  caller_sleeps_.store(false, std::memory_order_relaxed);
}

void ThreadPool::work(int worker_idx) {
  std::uint64_t seen = 0;
  while (true) {
    seen = next_generation(seen);
    if (stopping_.load(std::memory_order_acquire)) return;
    job_(context_, worker_idx);
    const bool is_last = num_running_.fetch_sub(1, std::memory_order_seq_cst) == 1;
    if (is_last && caller_sleeps_.load(std::memory_order_seq_cst)) {
      { const std::lock_guard lock(sleep_); }
      done_.notify_one();
    }
  }
}

std::uint64_t ThreadPool::next_generation(std::uint64_t seen) {
  const auto is_new = [this, seen] { return generation_.load(std::memory_order_acquire) != seen; };
  if (!becomes_ready_soon(has_core_for_each_, is_new)) {
    std::unique_lock lock(sleep_);
    num_sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [this, seen] { return generation_.load(std::memory_order_seq_cst) != seen; });
    num_sleeping_.fetch_sub(1, std::memory_order_relaxed);
  }
  return generation_.load(std::memory_order_acquire);
}

}  // namespace seesaw::cpu
