// Memory, order and time on a CUDA device, for programs that use no CUDA themselves. Attention
// takes any device memory: programs that have an allocator of their own need none of this.
#pragma once

#include <cstddef>
#include <span>

#include "seesaw/executor.h"
#include "seesaw/types/export.h"
#include "seesaw/types/status.h"

namespace seesaw {

/// Memory of one device; freed with the object, which waits for the device.
class SEESAW_API DeviceMemory {
 public:
  /// On the executor's device, aligned to 256 bytes; its contents are garbage.
  /// Errors: kInvalidArgument (a CPU executor), kUnsupported (no CUDA in this build), kDeviceError
  /// (no such device, or not so much memory).
  static Result<DeviceMemory> allocate(std::size_t num_bytes, const Executor& executor);

  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  /// Not to be read or written by the host.
  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  DeviceMemory(std::span<std::byte> bytes, int ordinal) noexcept
      : bytes_(bytes), ordinal_(ordinal) {}
  void free() noexcept;

  std::span<std::byte> bytes_;
  int ordinal_ = -1;
};

/// Copies in the order of the executor's stream and waits until it is done. Sizes must be equal.
/// Errors: kInvalidArgument, kUnsupported, kDeviceError.
SEESAW_API Status copy_to_device(std::span<const std::byte> from, std::span<std::byte> to,
                                 const Executor& executor);
SEESAW_API Status copy_to_host(std::span<const std::byte> from, std::span<std::byte> to,
                               const Executor& executor);

/// Waits for all that was enqueued on the executor's stream; errors of its execution show here.
SEESAW_API Status synchronize(const Executor& executor);

/// What is enqueued on the stream of `later` from now on waits, on the device, for all that is
/// enqueued on the stream of `earlier` by now; they may be of different devices.
/// Errors: kInvalidArgument (a CPU executor), kUnsupported, kDeviceError.
SEESAW_API Status order_after(const Executor& later, const Executor& earlier);

/// The device's time between two points of the executor's stream.
class SEESAW_API DeviceTimer {
 public:
  /// Errors as DeviceMemory::allocate's.
  static Result<DeviceTimer> create(const Executor& executor);

  DeviceTimer(DeviceTimer&& other) noexcept;
  DeviceTimer& operator=(DeviceTimer&& other) noexcept;
  ~DeviceTimer();

  Status start();
  Status stop();
  /// From start to stop; waits for the latter.
  Result<float> milliseconds() const;

 private:
  DeviceTimer(int ordinal, void* stream) noexcept : ordinal_(ordinal), stream_(stream) {}
  Status record(void* event);
  void destroy() noexcept;

  int ordinal_ = -1;
  void* stream_ = nullptr;
  void* begin_ = nullptr;  // cudaEvent_t
  void* end_ = nullptr;
};

}  // namespace seesaw
