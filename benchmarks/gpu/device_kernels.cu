#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "gpu/device.h"
#include "gpu/device_kernels.h"

namespace seesaw::bench {
namespace {

/// A mixing function of 64 bits (the finalizer of SplitMix64).
__device__ std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// The sum of the four 16-bit parts, scaled to mean 0 and deviation 1.
__device__ float nearly_normal(std::uint64_t bits) {
  const auto sum = static_cast<float>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                      (bits >> 32 & 0xffff) + (bits >> 48));
  return (sum - 131070.0f) * (1.0f / 37837.0f);
}

__global__ void fill_kernel(std::uint16_t* data, std::size_t count, bool is_bfloat16,
                            std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    const float x = nearly_normal(mix(mix(i + 1) ^ seed));
    data[i] =
        is_bfloat16 ? __bfloat16_as_ushort(__float2bfloat16(x)) : __half_as_ushort(__float2half(x));
  }
}

__global__ void pause_kernel(std::uint64_t nanoseconds) {
  std::uint64_t begin = 0;
  std::uint64_t now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < nanoseconds);
}

constexpr int kLoads = 8;  // in flight a thread, 16 bytes each

__global__ void __launch_bounds__(512)
    read_kernel(const uint4* data, std::size_t count, std::uint32_t* sink) {
  std::uint32_t mixed = 0;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x * kLoads;
  for (std::size_t base = std::size_t{blockIdx.x} * blockDim.x * kLoads + threadIdx.x; base < count;
       base += step) {
    uint4 loaded[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const std::size_t at = base + std::size_t{blockDim.x} * i;
      loaded[i] = at < count ? __ldg(data + at) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < kLoads; ++i) mixed ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
  }
  if (mixed == 0x12345678u) *sink = mixed;  // hardly ever, but the compiler cannot know
}

void check_launch(const char* kernel) { require_cuda(cudaGetLastError(), kernel); }

}  // namespace

void fill_random(cudaStream_t stream, std::byte* data, std::size_t num_bytes, DType dtype,
                 std::uint64_t seed) {
  fill_kernel<<<2048, 256, 0, stream>>>(reinterpret_cast<std::uint16_t*>(data), num_bytes / 2,
                                        dtype == DType::kBFloat16, seed);
  check_launch("fill_kernel");
}

void pause(cudaStream_t stream, double seconds) {
  pause_kernel<<<1, 1, 0, stream>>>(static_cast<std::uint64_t>(seconds * 1e9));
  check_launch("pause_kernel");
}

void read_all(cudaStream_t stream, const std::byte* data, std::size_t num_bytes,
              std::uint32_t* sink, int num_multiprocessors) {
  read_kernel<<<static_cast<unsigned>(num_multiprocessors) * 4, 512, 0, stream>>>(
      reinterpret_cast<const uint4*>(data), num_bytes / 16, sink);
  check_launch("read_kernel");
}

}  // namespace seesaw::bench
