#include "support/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace seesaw::testing {

void for_each_part(std::int64_t total, std::int64_t part,
                   const std::function<void(std::int64_t first, std::int64_t count)>& work) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto take_parts = [&] {
    try {
      for (std::int64_t first = next.fetch_add(part); first < total; first = next.fetch_add(part))
        work(first, std::min(part, total - first));
    } catch (...) {
      next = total;
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  const std::int64_t num_parts = (total + part - 1) / part;
  const auto num_threads =
      std::min<std::int64_t>(num_parts, std::clamp(std::thread::hardware_concurrency(), 1u, 16u));
  std::vector<std::jthread> others;
  for (std::int64_t i = 1; i < num_threads; ++i) others.emplace_back(take_parts);
  take_parts();
  others.clear();  // waits
  if (failure) std::rethrow_exception(failure);
}

}  // namespace seesaw::testing
