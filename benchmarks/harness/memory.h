// Memory for benchmark data: aligned, on huge pages where the kernel gives them, touched once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace seesaw::bench {

class HugeBuffer {
 public:
  HugeBuffer() = default;
  /// Zero-filled. From 2 MiB on, transparent huge pages are asked for, as a server would for its
  /// cache; without them every contender would measure address translation.
  explicit HugeBuffer(std::int64_t num_bytes);

  std::byte* data() const { return data_.get(); }
  std::int64_t size() const { return num_bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Release {
    void operator()(std::byte* pointer) const;
  };
  std::unique_ptr<std::byte, Release> data_;
  std::int64_t num_bytes_ = 0;
};

}  // namespace seesaw::bench
