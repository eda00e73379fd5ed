#include "gpu/device.h"

#include <algorithm>

#include "gpu/device_kernels.h"

namespace seesaw::bench {

EventTimer::EventTimer() : events_(2 * kMaxCalls) {
  for (cudaEvent_t& event : events_) require_cuda(cudaEventCreate(&event), "cudaEventCreate");
}
EventTimer::~EventTimer() {
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
}

std::vector<double> EventTimer::time_calls(const Stream& stream, int num_calls,
                                           const std::function<void(int)>& enqueue) const {
  constexpr double kPauseSecondsACall = 20e-6;  // more than it takes to enqueue one
  num_calls = std::min(num_calls, kMaxCalls);
  pause(stream.get(), 20e-6 + kPauseSecondsACall * num_calls);
  for (int call = 0; call < num_calls; ++call) {
    const auto at = 2 * static_cast<std::size_t>(call);
    require_cuda(cudaEventRecord(events_[at], stream.get()), "cudaEventRecord");
    enqueue(call);
    require_cuda(cudaEventRecord(events_[at + 1], stream.get()), "cudaEventRecord");
  }
  stream.synchronize();
  std::vector<double> seconds;
  for (int call = 0; call < num_calls; ++call) {
    const auto at = 2 * static_cast<std::size_t>(call);
    float milliseconds = 0;
    require_cuda(cudaEventElapsedTime(&milliseconds, events_[at], events_[at + 1]),
                 "cudaEventElapsedTime");
    seconds.push_back(milliseconds * 1e-3);
  }
  return seconds;
}

}  // namespace seesaw::bench
