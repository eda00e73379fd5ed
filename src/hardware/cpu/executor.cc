#include "seesaw/executor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "hardware/cpu/thread_pool.h"
#include "hardware/device/available_cores.h"
#include "seesaw/types/status.h"

namespace seesaw {

Executor Executor::cpu(int num_threads) {
  if (num_threads < 0) {
    throw Error(
        Status(StatusCode::kInvalidArgument, "num_threads: is " + std::to_string(num_threads) +
                                                 ", must be 0 (every available core) or more"));
  }
  const int wanted = num_threads == 0 ? available_cores() : num_threads;
  return Executor(std::make_unique<cpu::ThreadPool>(std::min(wanted, kMaxThreads)));
}

Executor::Executor(std::unique_ptr<cpu::ThreadPool> pool) : pool_(std::move(pool)) {}
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;
Executor::~Executor() = default;

int Executor::num_threads() const noexcept { return pool_ ? pool_->num_threads() : 0; }

}  // namespace seesaw
