#include "gpu/device.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "gpu/device_kernels.h"

namespace seesaw::bench {

void require_cuda(cudaError_t error, const char* call) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
}

Stream::Stream() {
  require_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags");
}
Stream::~Stream() { cudaStreamDestroy(stream_); }
void Stream::synchronize() const {
  require_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

DeviceBuffer::DeviceBuffer(std::size_t num_bytes) : num_bytes_(num_bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, std::max<std::size_t>(num_bytes, 1));
  const std::string call = "cudaMalloc of " + std::to_string(num_bytes) + " bytes";
  require_cuda(error, call.c_str());
  data_ = static_cast<std::byte*>(memory);
}
DeviceBuffer::~DeviceBuffer() { cudaFree(data_); }
DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(num_bytes_, other.num_bytes_);
  return *this;
}
void DeviceBuffer::upload(const void* from, std::size_t num_bytes, std::size_t at) const {
  require_cuda(cudaMemcpy(data_ + at, from, num_bytes, cudaMemcpyHostToDevice),
               "cudaMemcpy to the device");
}
void DeviceBuffer::download(void* to, std::size_t num_bytes, std::size_t at) const {
  require_cuda(cudaMemcpy(to, data_ + at, num_bytes, cudaMemcpyDeviceToHost),
               "cudaMemcpy to the host");
}

Graph::Graph(const Stream& stream, const std::function<void()>& enqueue) {
  require_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
  enqueue();
  cudaGraph_t graph = nullptr;
  require_cuda(cudaStreamEndCapture(stream.get(), &graph), "cudaStreamEndCapture");
  const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  require_cuda(error, "cudaGraphInstantiate");
}
Graph::~Graph() { cudaGraphExecDestroy(executable_); }
void Graph::launch(const Stream& stream) const {
  require_cuda(cudaGraphLaunch(executable_, stream.get()), "cudaGraphLaunch");
}

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
