// The CUDA runtime's objects, each owned by one, and errors as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace seesaw::bench {

/// Throws std::runtime_error that names the call.
void require_cuda(cudaError_t error, const char* call);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

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
  /// Both wait.
  void upload(const void* from, std::size_t num_bytes, std::size_t at = 0) const;
  void download(void* to, std::size_t num_bytes, std::size_t at = 0) const;

 private:
  std::byte* data_ = nullptr;
  std::size_t num_bytes_ = 0;
};

/// A captured sequence of launches.
class Graph {
 public:
  Graph(const Stream& stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(const Stream& stream) const;

 private:
  cudaGraphExec_t executable_ = nullptr;
};

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
