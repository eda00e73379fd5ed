// Where a launch runs.
#pragma once

#include <memory>

#include "seesaw/types/device_spec.h"
#include "seesaw/types/export.h"

namespace seesaw {

namespace cpu {
class ThreadPool;
}

/// A pool of CPU threads, or a stream of a CUDA device.
///
/// CPU: threads start once and sleep between launches. Calls of different executors run side by
/// side; calls of one executor, from whatever threads, run in turn.
/// CUDA: calls are enqueued on the stream and return at once. The stream stays the caller's.
/// Threads that share it take turns themselves: a call may enqueue several launches.
class SEESAW_API Executor {
 public:
  /// More threads than this are not started, however many are asked for.
  static constexpr int kMaxThreads = 1024;

  /// num_threads >= 1 threads, the caller's among them, at most kMaxThreads; 0 takes every core
  /// the process may use (its affinity mask and its control group's CPU quota).
  /// Errors by exception Error: kInvalidArgument (num_threads < 0), kDeviceError (the system
  /// refused a thread).
  static Executor cpu(int num_threads = 0);

  /// The device that CUDA's runtime numbers `ordinal`, and a cudaStream_t of it; nullptr is its
  /// default stream. No device is touched before a launch: whether it is there shows then.
  /// Errors by exception Error: kInvalidArgument (ordinal < 0).
  static Executor cuda(int ordinal = 0, void* stream = nullptr);

  Executor(Executor&& other) noexcept;
  Executor& operator=(Executor&& other) noexcept;
  ~Executor();

  /// Moved from: it takes no launch, and nothing else of it means anything.
  bool is_empty() const noexcept { return pool_ == nullptr && cuda_ordinal_ < 0; }
  DeviceKind kind() const noexcept {
    return cuda_ordinal_ < 0 ? DeviceKind::kCpu : DeviceKind::kCuda;
  }
  /// CPU threads; 0 of a CUDA executor.
  int num_threads() const noexcept;
  /// Of a CPU executor only.
  cpu::ThreadPool& thread_pool() const noexcept { return *pool_; }
  /// -1 of a CPU executor.
  int cuda_ordinal() const noexcept { return cuda_ordinal_; }
  /// The cudaStream_t; nullptr is the default stream.
  void* cuda_stream() const noexcept { return cuda_stream_; }

 private:
  explicit Executor(std::unique_ptr<cpu::ThreadPool> pool);
  Executor(int cuda_ordinal, void* cuda_stream) noexcept;

  std::unique_ptr<cpu::ThreadPool> pool_;
  int cuda_ordinal_ = -1;
  void* cuda_stream_ = nullptr;
};

}  // namespace seesaw
