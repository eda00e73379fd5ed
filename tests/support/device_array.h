// Memory on a CUDA device for tests: buffers, and copies of a StridedArray with its gaps and
// poison.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>

#include "seesaw/types/tensor_view.h"
#include "support/strided_array.h"

namespace seesaw::testing {

/// Throws std::runtime_error that names the call.
void require_cuda(cudaError_t error, const char* call);

/// A stream that does not wait for the default one.
class DeviceStream {
 public:
  DeviceStream();
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// Exactly so many bytes (at least one) of device memory: a memory checker sees any access behind.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t num_bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return num_bytes_; }
  std::span<std::byte> bytes() const { return {data_, num_bytes_}; }

  /// Enqueued on `stream`; `from` and `to` must live until it is synchronized.
  void fill(int byte, cudaStream_t stream) const;
  void upload(std::span<const std::byte> from, cudaStream_t stream) const;
  void download(std::span<std::byte> to, cudaStream_t stream) const;

 private:
  std::byte* data_ = nullptr;
  std::size_t num_bytes_ = 0;
};

/// A copy of a host array: same strides, gaps, lead and poison.
class DeviceArray {
 public:
  /// `host` must outlive this. Enqueues its upload.
  DeviceArray(StridedArray& host, cudaStream_t stream);

  TensorView view() const { return host_->view_of_copy(buffer_.data()); }
  void upload(cudaStream_t stream) const { buffer_.upload(host_->memory(), stream); }
  void download(cudaStream_t stream) const { buffer_.download(host_->memory(), stream); }

 private:
  StridedArray* host_;
  DeviceBuffer buffer_;
};

}  // namespace seesaw::testing
