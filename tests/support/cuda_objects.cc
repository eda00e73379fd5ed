#include "support/cuda_objects.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace seesaw::testing {

void require_cuda(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
}

DeviceStream::DeviceStream() {
  require_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags");
}
DeviceStream::~DeviceStream() { cudaStreamDestroy(stream_); }

void DeviceStream::synchronize() const {
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

void DeviceBuffer::check_room(std::size_t num_bytes, std::size_t at) const {
  if (at > num_bytes_ || num_bytes > num_bytes_ - at)
    throw std::out_of_range("DeviceBuffer: " + std::to_string(num_bytes) + " bytes at " +
                            std::to_string(at) + " of " + std::to_string(num_bytes_));
}

void DeviceBuffer::fill(int byte, cudaStream_t stream) const {
  require_cuda(cudaMemsetAsync(data_, byte, num_bytes_, stream), "cudaMemsetAsync");
}
void DeviceBuffer::upload(std::span<const std::byte> from, cudaStream_t stream,
                          std::size_t at) const {
  check_room(from.size(), at);
  require_cuda(
      cudaMemcpyAsync(data_ + at, from.data(), from.size(), cudaMemcpyHostToDevice, stream),
      "cudaMemcpyAsync to the device");
}
void DeviceBuffer::download(std::span<std::byte> to, cudaStream_t stream, std::size_t at) const {
  check_room(to.size(), at);
  require_cuda(cudaMemcpyAsync(to.data(), data_ + at, to.size(), cudaMemcpyDeviceToHost, stream),
               "cudaMemcpyAsync to the host");
}

Graph::Graph(cudaStream_t stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal),
               "cudaStreamBeginCapture");
  enqueue();
  require_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  require_cuda(error, "cudaGraphInstantiate");
}
Graph::~Graph() { cudaGraphExecDestroy(executable_); }

void Graph::launch(cudaStream_t stream) const {
  require_cuda(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch");
}

}  // namespace seesaw::testing
