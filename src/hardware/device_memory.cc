#include "seesaw/device_memory.h"

#include <fmt/format.h>

#include <utility>

#include "hardware/cuda/current_device.h"
#include "hardware/cuda/memory.h"

namespace seesaw {
namespace {

/// What call() says, on that device.
template <typename Call>
Status on_device(int ordinal, Call&& call) {
  const cuda::CurrentDevice device(ordinal);
  return device.status().is_ok() ? std::forward<Call>(call)() : device.status();
}

Status check_is_cuda(const Executor& executor, const char* name = "executor") {
  if (executor.kind() == DeviceKind::kCuda) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("{}: is no CUDA stream, must be one: it names the device", name)};
}

Status copy(std::span<const std::byte> from, std::span<std::byte> to, const Executor& executor) {
  if (from.size() != to.size()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("to.size(): is {}, must be from.size() = {}", to.size(), from.size())};
  }
  Status status = check_is_cuda(executor);
  if (!status.is_ok()) return status;
  return on_device(executor.cuda_ordinal(), [&] {
    return cuda::copy_memory(from.data(), to.data(), from.size(), executor.cuda_stream());
  });
}

}  // namespace

Result<DeviceMemory> DeviceMemory::allocate(std::size_t num_bytes, const Executor& executor) {
  void* data = nullptr;
  Status status = check_is_cuda(executor);
  if (status.is_ok()) {
    status =
        on_device(executor.cuda_ordinal(), [&] { return cuda::allocate_memory(num_bytes, &data); });
  }
  if (!status.is_ok()) return status;
  return DeviceMemory({static_cast<std::byte*>(data), num_bytes}, executor.cuda_ordinal());
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), ordinal_(other.ordinal_) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  if (this == &other) return *this;
  free();
  bytes_ = std::exchange(other.bytes_, {});
  ordinal_ = other.ordinal_;
  return *this;
}

DeviceMemory::~DeviceMemory() { free(); }

void DeviceMemory::free() noexcept {
  if (bytes_.data() == nullptr) return;
  const cuda::CurrentDevice device(ordinal_);
  if (device.status().is_ok()) cuda::free_memory(bytes_.data());
}

Status copy_to_device(std::span<const std::byte> from, std::span<std::byte> to,
                      const Executor& executor) {
  return copy(from, to, executor);
}

Status copy_to_host(std::span<const std::byte> from, std::span<std::byte> to,
                    const Executor& executor) {
  return copy(from, to, executor);
}

Status synchronize(const Executor& executor) {
  if (Status status = check_is_cuda(executor); !status.is_ok()) return status;
  return on_device(executor.cuda_ordinal(), [&] { return cuda::wait_for(executor.cuda_stream()); });
}

Status order_after(const Executor& later, const Executor& earlier) {
  Status status = check_is_cuda(later, "later");
  if (status.is_ok()) status = check_is_cuda(earlier, "earlier");
  if (!status.is_ok()) return status;
  return on_device(earlier.cuda_ordinal(), [&] {
    void* event = nullptr;
    Status made = cuda::create_event(/*is_timed=*/false, &event);
    if (!made.is_ok()) return made;
    Status ordered = cuda::record_event(event, earlier.cuda_stream());
    if (ordered.is_ok()) {
      ordered = on_device(later.cuda_ordinal(),
                          [&] { return cuda::wait_for_event(event, later.cuda_stream()); });
    }
    cuda::destroy_event(event);  // the wait that is enqueued keeps what it needs of it
    return ordered;
  });
}

Result<DeviceTimer> DeviceTimer::create(const Executor& executor) {
  DeviceTimer timer(executor.cuda_ordinal(), executor.cuda_stream());
  Status status = check_is_cuda(executor);
  for (void** event : {&timer.begin_, &timer.end_}) {
    if (!status.is_ok()) return status;
    status =
        on_device(timer.ordinal_, [&] { return cuda::create_event(/*is_timed=*/true, event); });
  }
  if (!status.is_ok()) return status;
  return timer;
}

DeviceTimer::DeviceTimer(DeviceTimer&& other) noexcept
    : ordinal_(other.ordinal_),
      stream_(other.stream_),
      begin_(std::exchange(other.begin_, nullptr)),
      end_(std::exchange(other.end_, nullptr)) {}

DeviceTimer& DeviceTimer::operator=(DeviceTimer&& other) noexcept {
  if (this == &other) return *this;
  destroy();
  ordinal_ = other.ordinal_;
  stream_ = other.stream_;
  begin_ = std::exchange(other.begin_, nullptr);
  end_ = std::exchange(other.end_, nullptr);
  return *this;
}

DeviceTimer::~DeviceTimer() { destroy(); }

void DeviceTimer::destroy() noexcept {
  for (void* event : {begin_, end_}) {
    if (event == nullptr) continue;
    const cuda::CurrentDevice device(ordinal_);
    if (device.status().is_ok()) cuda::destroy_event(event);
  }
}

Status DeviceTimer::record(void* event) {
  return on_device(ordinal_, [&] { return cuda::record_event(event, stream_); });
}

Status DeviceTimer::start() { return record(begin_); }
Status DeviceTimer::stop() { return record(end_); }

Result<float> DeviceTimer::milliseconds() const {
  float elapsed = 0;
  Status status = on_device(ordinal_, [&] { return cuda::elapsed_time(begin_, end_, &elapsed); });
  if (!status.is_ok()) return status;
  return elapsed;
}

}  // namespace seesaw
