#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/cuda/error.h"
#include "hardware/cuda/store_plan.h"

namespace seesaw::cuda {
namespace {

constexpr int kThreads = 256;
// A kernel's arguments have 4 KB on every device.
constexpr std::size_t kChunkWords = 1016;
constexpr std::size_t kChunkBytes = kChunkWords * sizeof(std::uint32_t);

struct Chunk {
  std::uint32_t* target = nullptr;
  std::uint32_t num_words = 0;
  std::uint32_t words[kChunkWords];
};
static_assert(sizeof(Chunk) <= 4096);

__global__ void __launch_bounds__(kThreads) store_words(const __grid_constant__ Chunk chunk) {
  for (std::uint32_t i = threadIdx.x; i < chunk.num_words; i += kThreads) {
    chunk.target[i] = chunk.words[i];
  }
}

/// Gathers bytes that follow each other in the workspace and launches whenever a chunk is full.
class ChunkWriter {
 public:
  ChunkWriter(std::byte* workspace, StreamHandle stream) : workspace_(workspace), stream_(stream) {}

  Status write(const PlanPart& part) {
    if (num_bytes_ > 0 && (part.offset < end() || part.offset - begin_ >= kChunkBytes)) {
      if (Status status = flush(); !status.is_ok()) return status;
    }
    if (num_bytes_ == 0) begin_ = part.offset;
    const std::size_t gap = part.offset - end();
    std::memset(bytes() + num_bytes_, 0, gap);
    num_bytes_ += gap;
    const auto* data = static_cast<const std::byte*>(part.data);
    for (std::size_t done = 0; done < part.num_bytes;) {
      const std::size_t room = std::min(kChunkBytes - num_bytes_, part.num_bytes - done);
      if (data == nullptr) {
        std::memset(bytes() + num_bytes_, 0, room);
      } else {
        std::memcpy(bytes() + num_bytes_, data + done, room);
      }
      num_bytes_ += room;
      done += room;
      if (num_bytes_ < kChunkBytes) continue;
      if (Status status = flush(); !status.is_ok()) return status;
    }
    return Status::ok();
  }

  Status flush() {
    if (num_bytes_ == 0) return Status::ok();
    chunk_.target = reinterpret_cast<std::uint32_t*>(workspace_ + begin_);
    chunk_.num_words = static_cast<std::uint32_t>(num_bytes_ / sizeof(std::uint32_t));
    begin_ += num_bytes_;
    num_bytes_ = 0;
    const LaunchShape shape{.grid = dim3(1), .block = dim3(kThreads)};
    return launch_after_previous<&store_words>("store_plan", shape, stream_, chunk_);
  }

 private:
  std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(chunk_.words); }
  std::size_t end() const noexcept { return begin_ + num_bytes_; }

  std::byte* workspace_;
  StreamHandle stream_;
  Chunk chunk_;
  std::size_t begin_ = 0;  // of the chunk, from the workspace's begin
  std::size_t num_bytes_ = 0;
};

}  // namespace

Status store_plan(std::span<const PlanPart> parts, std::byte* workspace, StreamHandle stream) {
  ChunkWriter writer(workspace, stream);
  for (const PlanPart& part : parts) {
    if (part.num_bytes == 0) continue;
    if (Status status = writer.write(part); !status.is_ok()) return status;
  }
  return writer.flush();
}

}  // namespace seesaw::cuda
