#include "support/device_array.h"

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
  require_cuda(cudaMalloc(&memory, std::max<std::size_t>(num_bytes, 1)), "cudaMalloc");
  data_ = static_cast<std::byte*>(memory);
}
DeviceBuffer::~DeviceBuffer() { cudaFree(data_); }

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(num_bytes_, other.num_bytes_);
  return *this;
}

void DeviceBuffer::fill(int byte, cudaStream_t stream) const {
  require_cuda(cudaMemsetAsync(data_, byte, num_bytes_, stream), "cudaMemsetAsync");
}
void DeviceBuffer::upload(std::span<const std::byte> from, cudaStream_t stream) const {
  require_cuda(cudaMemcpyAsync(data_, from.data(), from.size(), cudaMemcpyHostToDevice, stream),
               "cudaMemcpyAsync to the device");
}
void DeviceBuffer::download(std::span<std::byte> to, cudaStream_t stream) const {
  require_cuda(cudaMemcpyAsync(to.data(), data_, to.size(), cudaMemcpyDeviceToHost, stream),
               "cudaMemcpyAsync to the host");
}

DeviceArray::DeviceArray(StridedArray& host, cudaStream_t stream)
    : host_(&host), buffer_(host.memory().size()) {
  upload(stream);
}

}  // namespace seesaw::testing
