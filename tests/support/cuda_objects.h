// The CUDA runtime's objects, each owned by one, and errors as exceptions: for tests and benchmarks
// that enqueue work of their own. (seesaw/device_memory.h is for programs without CUDA: its copies
// wait, and it has no streams and no graphs.)
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <span>

namespace seesaw::testing {

/// Throws std::runtime_error that names the call, and takes the error off the thread's record.
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

  /// Enqueued on `stream`; `from` and `to` must live until it is synchronized. at: bytes from the
  /// buffer's begin.
  void fill(int byte, cudaStream_t stream) const;
  void upload(std::span<const std::byte> from, cudaStream_t stream, std::size_t at = 0) const;
  void download(std::span<std::byte> to, cudaStream_t stream, std::size_t at = 0) const;

 private:
  void check_room(std::size_t num_bytes, std::size_t at) const;

  std::byte* data_ = nullptr;
  std::size_t num_bytes_ = 0;
};

/// A captured sequence of launches.
class Graph {
 public:
  /// Captures what `enqueue` puts into the stream.
  Graph(cudaStream_t stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(cudaStream_t stream) const;

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace seesaw::testing
