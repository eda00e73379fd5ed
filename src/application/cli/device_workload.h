// A decode workload on a CUDA device.
#pragma once

#include <cstdint>
#include <span>

#include "cli/decode_workload.h"
#include "seesaw/device_memory.h"
#include "seesaw/executor.h"

namespace seesaw::cli {

/// Copies of a workload's arrays on the executor's device, which must both outlive it, with the
/// plan's workspace and the lengths that prepare() reads.
class DeviceWorkload {
 public:
  /// Errors: kDeviceError where the device has not so much memory.
  static Result<DeviceWorkload> copy(DecodeWorkload& host, const WorkPlan& plan,
                                     std::span<const std::int32_t> kv_lengths, Executor& executor);

  /// As DecodeWorkload::call, with pointers to the device.
  DecodeArgs call(std::int64_t call_idx);
  /// The work is divided anew, on the device.
  Status prepare(const WorkPlan& plan);

  /// Seconds of the device for prepare, and for call call_idx. Each is enqueued behind an untimed
  /// call, so that the device does not wait for the host within the time.
  Result<double> time_prepare(const WorkPlan& plan);
  Result<double> time_call(const WorkPlan& plan, std::int64_t call_idx);

 private:
  DeviceWorkload(DecodeWorkload& host, Executor& executor, DeviceTimer timer)
      : host_(&host), executor_(&executor), timer_(std::move(timer)) {}
  template <typename Enqueue>
  Result<double> time(const WorkPlan& plan, std::int64_t untimed_call_idx, const Enqueue& enqueue);

  DecodeWorkload* host_;
  Executor* executor_;
  DeviceTimer timer_;
  std::int64_t batch_ = 0;
  DeviceMemory pool_, query_, out_, block_tables_, lengths_, workspace_;
};

}  // namespace seesaw::cli
