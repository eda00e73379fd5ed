// What benchmarks need of the CUDA runtime: its objects, which they share with the tests, and time.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <vector>

#include "support/cuda_objects.h"

namespace seesaw::bench {

using testing::DeviceBuffer;
using testing::Graph;
using testing::require_cuda;
using Stream = testing::DeviceStream;

/// Times calls by events: each alone between two of them, all enqueued behind a pause, so that the
/// host's launching is not in the figures.
class EventTimer {
 public:
  static constexpr int kMaxCalls = 32;  // in one go
  EventTimer();
  ~EventTimer();
  EventTimer(const EventTimer&) = delete;
  EventTimer& operator=(const EventTimer&) = delete;

  /// Seconds of each of enqueue(0) .. enqueue(num_calls - 1).
  std::vector<double> time_calls(const Stream& stream, int num_calls,
                                 const std::function<void(int)>& enqueue) const;

 private:
  std::vector<cudaEvent_t> events_;
};

}  // namespace seesaw::bench
