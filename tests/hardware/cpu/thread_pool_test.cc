#include "hardware/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "hardware/device/available_cores.h"
#include "seesaw/executor.h"
#include "seesaw/types/status.h"
#include "support/allocation_hooks.h"

namespace seesaw {
namespace {

using cpu::ThreadPool;

TEST(ThreadPool, RunsEveryWorkerOnceAndSeesItsWrites) {
  for (const int num_threads : {1, 2, 3, 8, 33}) {
    ThreadPool pool(num_threads);
    ASSERT_EQ(pool.num_threads(), num_threads);
    // Plain ints: the launch itself must order the workers' writes before its return.
    std::vector<int> num_calls(static_cast<std::size_t>(num_threads), 0);
    constexpr int kLaunches = 300;
    for (int launch = 0; launch < kLaunches; ++launch) {
      pool.run([&](int worker_idx) { ++num_calls[static_cast<std::size_t>(worker_idx)]; });
      for (const int n : num_calls) ASSERT_EQ(n, launch + 1);
    }
  }
}

TEST(ThreadPool, WorkerZeroIsTheCaller) {
  ThreadPool pool(3);
  std::array<std::thread::id, 3> ids;
  pool.run([&](int worker_idx) {
    ids[static_cast<std::size_t>(worker_idx)] = std::this_thread::get_id();
  });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_NE(ids[1], ids[0]);
  EXPECT_NE(ids[2], ids[0]);
  EXPECT_NE(ids[2], ids[1]);
}

TEST(ThreadPool, TakesConstAndMutableFunctions) {
  ThreadPool pool(2);
  std::atomic<int> num_calls{0};
  const auto constant = [&](int) { num_calls.fetch_add(1); };
  pool.run(constant);
  pool.run([&num_calls, own = 0](int) mutable {
    if (own == 0) num_calls.fetch_add(1);
  });
  EXPECT_EQ(num_calls.load(), 4);
}

// Pauses around the time at which workers go to sleep, so that launches meet them in every state.
TEST(ThreadPool, NoLaunchIsLostWhileWorkersFallAsleep) {
  ThreadPool pool(3);
  std::int64_t total = 0;
  std::array<std::int64_t, 3> share{};
  for (int launch = 0; launch < 2000; ++launch) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(launch % 200);
    while (std::chrono::steady_clock::now() < end) {
    }
    pool.run([&](int worker_idx) { share[static_cast<std::size_t>(worker_idx)] += launch; });
    total += launch;
  }
  for (const std::int64_t s : share) EXPECT_EQ(s, total);
}

TEST(ThreadPool, TheCallerSleepsWhileAWorkerTakesLong) {
  ThreadPool pool(2);
  for (int launch = 0; launch < 20; ++launch) {
    bool returned = false;
    pool.run([&](int worker_idx) {
      if (worker_idx == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      returned = true;
    });
    ASSERT_TRUE(returned);
  }
}

TEST(ThreadPool, CallsFromSeveralThreadsTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int> num_inside{0};
  std::atomic<bool> overlapped{false};
  std::int64_t num_launches = 0;  // guarded by the turns alone
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int launch = 0; launch < 500; ++launch) {
        pool.run([&](int worker_idx) {
          if (num_inside.fetch_add(1) >= 3) overlapped = true;
          if (worker_idx == 1) ++num_launches;
          num_inside.fetch_sub(1);
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_FALSE(overlapped.load());
  EXPECT_EQ(num_launches, 2000);
}

TEST(ThreadPool, SeveralPoolsRunSideBySide) {
  std::vector<std::thread> callers;
  std::array<std::int64_t, 4> sums{};
  for (std::size_t caller = 0; caller < sums.size(); ++caller) {
    callers.emplace_back([&sums, caller] {
      ThreadPool pool(2);
      std::array<std::int64_t, 2> share{};
      for (int launch = 0; launch < 500; ++launch) {
        pool.run([&](int worker_idx) { ++share[static_cast<std::size_t>(worker_idx)]; });
      }
      sums[caller] = share[0] + share[1];
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::int64_t sum : sums) EXPECT_EQ(sum, 1000);
}

TEST(ThreadPool, StartsAndStopsInEveryState) {
  for (int round = 0; round < 200; ++round) {
    ThreadPool pool(1 + round % 4);
    std::atomic<int> num_calls{0};
    for (int launch = 0; launch < round % 3; ++launch)
      pool.run([&](int) { num_calls.fetch_add(1); });
    if (round % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    EXPECT_EQ(num_calls.load(), (round % 3) * pool.num_threads());
  }
}

TEST(ThreadPool, RunAllocatesNothing) {
  ThreadPool pool(3);
  std::array<int, 3> share{};
  const auto count = [&](int worker_idx) { ++share[static_cast<std::size_t>(worker_idx)]; };
  pool.run(count);
  const std::int64_t before = testing::num_allocations();
  ASSERT_GT(before, 0);  // the counter counts
  for (int launch = 0; launch < 100; ++launch) {
    pool.run(count);
    if (launch % 20 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  EXPECT_EQ(testing::num_allocations(), before);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(ThreadPool, IdleWorkersSleep) {
  ThreadPool pool(4);
  pool.run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_seconds() - before, 0.02);  // three spinning workers would burn up to 0.6
}

TEST(ThreadPool, RefusesLessThanOneThread) {
  try {
    ThreadPool pool(0);
    FAIL() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), StatusCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "num_threads: is 0, must be at least 1");
  }
}

TEST(Executor, TakesEveryAvailableCoreByDefault) {
  EXPECT_EQ(Executor::cpu().num_threads(), available_cores());
  EXPECT_EQ(Executor::cpu(0).num_threads(), available_cores());
  EXPECT_EQ(Executor::cpu(5).num_threads(), 5);
}

TEST(Executor, ClampsFarTooManyAndRefusesNegative) {
  EXPECT_EQ(Executor::cpu(1 << 30).num_threads(), Executor::kMaxThreads);
  try {
    Executor::cpu(-1);
    FAIL() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), StatusCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "num_threads: is -1, must be 0 (every available core) or more");
  }
}

TEST(Executor, MovesAndLeavesAnEmptyOneBehind) {
  Executor first = Executor::cpu(2);
  Executor second = std::move(first);
  EXPECT_EQ(first.num_threads(), 0);  // NOLINT(bugprone-use-after-move): that is the test
  EXPECT_EQ(second.num_threads(), 2);
  first = Executor::cpu(3);
  EXPECT_EQ(first.num_threads(), 3);
  second = std::move(first);
  EXPECT_EQ(second.num_threads(), 3);
  std::atomic<int> num_calls{0};
  second.thread_pool().run([&](int) { num_calls.fetch_add(1); });
  EXPECT_EQ(num_calls.load(), 3);
}

}  // namespace
}  // namespace seesaw
