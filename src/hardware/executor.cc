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

Executor Executor::cuda(int ordinal, void* stream) {
  if (ordinal < 0) {
    throw Error(Status(StatusCode::kInvalidArgument,
                       "ordinal: is " + std::to_string(ordinal) +
                           ", must be 0 or more: devices as CUDA's runtime numbers them"));
  }
  return {ordinal, stream};
}

Executor::Executor(std::unique_ptr<cpu::ThreadPool> pool) : pool_(std::move(pool)) {}

Executor::Executor(int cuda_ordinal, void* cuda_stream) noexcept
    : cuda_ordinal_(cuda_ordinal), cuda_stream_(cuda_stream) {}

Executor::Executor(Executor&& other) noexcept
    : pool_(std::move(other.pool_)),
      cuda_ordinal_(std::exchange(other.cuda_ordinal_, -1)),
      cuda_stream_(std::exchange(other.cuda_stream_, nullptr)) {}

Executor& Executor::operator=(Executor&& other) noexcept {
  if (this == &other) return *this;
  pool_ = std::move(other.pool_);
  cuda_ordinal_ = std::exchange(other.cuda_ordinal_, -1);
  cuda_stream_ = std::exchange(other.cuda_stream_, nullptr);
  return *this;
}

Executor::~Executor() = default;

int Executor::num_threads() const noexcept { return pool_ ? pool_->num_threads() : 0; }

}  // namespace seesaw
