#include "emulator/planted_faults.h"

#include <cuda_bf16.h>

#include "emulator/tensor_map.h"
#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/sm90/decode_dense/layouts.cuh"
#include "hardware/sm90/ptx/atomic.cuh"
#include "hardware/sm90/ptx/copy.cuh"
#include "hardware/sm90/ptx/mbarrier.cuh"
#include "hardware/sm90/ptx/shared.cuh"
#include "hardware/sm90/ptx/wgmma.cuh"

namespace seesaw::emulator::planted {

// Nothing in an unnamed namespace: the kernels' shared memory would be there, too.

namespace ptx = sm90::ptx;
using sm90::decode_dense::chunk_offset;

template <typename T>
T* to_device(const std::vector<T>& from) {
  T* const to = static_cast<T*>(allocate(from.size() * sizeof(T)));
  std::copy(from.begin(), from.end(), to);
  return to;
}

// ---------------------------------------------------------------------------------------- products

constexpr int kSize = 64;  // rows, columns and depth
constexpr int kColumnBytes = kSize * 128;
constexpr int kA = 0;
constexpr int kB = kColumnBytes;
constexpr int kBarrier = 2 * kColumnBytes;
constexpr int kProductBytes = kBarrier + 8;

struct ProductArgs {
  CUtensorMap a_map, b_map;
  const __nv_bfloat16* a;
  const __nv_bfloat16* b;
  float* d;
  Way way;
  Fault fault;
};

__device__ void copy_by_threads(const __nv_bfloat16* from, std::uint32_t to) {
  for (int i = threadIdx.x; i < kSize * 8; i += 128) {
    ptx::copy_16_bytes(to + chunk_offset(i / 8, i % 8), from + i * 8, true);
  }
}

__device__ void load_operands(const ProductArgs& args, std::uint32_t base) {
  const std::uint32_t barrier = base + kBarrier;
  if (!args.way.by_bulk_copy) {
    copy_by_threads(args.a, base + kA);
    copy_by_threads(args.b, base + kB);
    ptx::wait_for_copies();
    if (args.fault != Fault::kNoProxyFence) ptx::fence_async_proxy();
    ptx::sync_warpgroup(1);
    return;
  }
  if (threadIdx.x == 0) {
    ptx::init_barrier(barrier, 1);
    if (args.fault != Fault::kNoBarrierInitFence) ptx::fence_barrier_init();
  }
  ptx::store(base + kA + 4 * threadIdx.x, 0);
  if (args.fault != Fault::kOverwritesBoxUnfenced) ptx::fence_async_proxy();
  ptx::sync_warpgroup(1);
  if (threadIdx.x == 0) {
    ptx::arrive_and_expect(
        barrier, args.fault == Fault::kWrongCount ? 2 * kColumnBytes + 16 : 2 * kColumnBytes);
    ptx::copy_box(&args.a_map, base + kA, {{0, 0, 0, 0, 0}}, barrier);
    ptx::copy_box(&args.b_map, base + kB, {{0, 0, 0, 0, 0}}, barrier);
  }
  if (args.fault != Fault::kReadsBoxEarly) ptx::wait(barrier, 0);
}

__global__ void multiply_tiles(const ProductArgs args) {
  extern __shared__ __align__(1024) unsigned char memory[];
  cuda::wait_for_previous_kernel();
  const auto base = static_cast<std::uint32_t>(__cvta_generic_to_shared(memory));
  load_operands(args, base);

  float d[kSize / 2];
  ptx::Operand a = ptx::operand_along_k(base + kA);
  if (args.fault == Fault::kDifferentProducts && threadIdx.x == 77) a = a.after(1024);
  const ptx::Operand b = args.way.b_along_n ? ptx::operand_along_n(base + kB, kColumnBytes)
                                            : ptx::operand_along_k(base + kB);
  const bool waits_apart = args.fault == Fault::kWaitsApart;
  if (waits_apart && threadIdx.x < 32) ptx::sync_warpgroup(2);
  if (args.fault != Fault::kNoProductFence) ptx::begin_products();
  for (int step = 0; step < kSize / 16; ++step) {
    if (args.way.b_along_n) {
      ptx::multiply_values<__nv_bfloat16>(a.after(step * 32), b.after(step * 2048), d, step > 0);
    } else if (args.way.a_in_registers) {
      std::uint32_t fragment[4];
      const int row = threadIdx.x / 32 * 16 + threadIdx.x % 16;
      ptx::load_matrices(fragment, base + kA + chunk_offset(row, step * 2 + threadIdx.x % 32 / 16));
      ptx::multiply_scores<__nv_bfloat16>(fragment, b.after(step * 32), d, step > 0);
    } else {
      ptx::multiply_scores<__nv_bfloat16>(a.after(step * 32), b.after(step * 32), d, step > 0);
    }
  }
  ptx::commit_products();
  if (waits_apart && threadIdx.x >= 32) ptx::sync_warpgroup(2);
  if (args.fault == Fault::kOverwritesOperands) ptx::store(base + kB + 4 * threadIdx.x, 0);
  if (args.fault != Fault::kReadsProductsEarly) ptx::finish_products(d);
  for (int i = 0; i < kSize / 2; ++i) {
    const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i / 2 % 2 * 8;
    args.d[row * kSize + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2] = d[i];
  }
  if (args.fault == Fault::kReadsProductsEarly) ptx::finish_products(d);
}

CUtensorMap map_of(const __nv_bfloat16* data) {
  const TensorMap map{.data = reinterpret_cast<const std::byte*>(data),
                      .sizes = {kSize, kSize, 1, 1, 1},
                      .strides = {128, kColumnBytes, kColumnBytes, kColumnBytes},
                      .box = {kSize, kSize, 1, 1, 1}};
  CUtensorMap made;
  std::memcpy(&made, &map, sizeof(map));
  return made;
}

// -------------------------------------------------------------------------------------------- sums

constexpr int kThreads = 64;
constexpr int kBlocks = 3;
constexpr int kSumBytes = 4 * 3 * kThreads;

struct SumArgs {
  const int* numbers;  // [kThreads]
  int* slots;          // [kBlocks]
  int* count;
  int* result;
  Fault fault;
};

__global__ void sum_numbers(const SumArgs args) {
  extern __shared__ __align__(1024) unsigned char memory[];
  const auto base = static_cast<std::uint32_t>(__cvta_generic_to_shared(memory));
  const Fault fault = args.fault;
  const unsigned thread = threadIdx.x;
  int before = cuda::load_before_wait(args.numbers + thread);
  if (fault == Fault::kReadsPreviousEarly) before = cuda::load_before_wait(args.result);
  if (fault == Fault::kLetsNextStartEarly) cuda::let_next_kernel_start();
  if (fault != Fault::kBeforePrevious) cuda::wait_for_previous_kernel();
  if (before < 0) return;
  int* const words = reinterpret_cast<int*>(memory);

  // From global memory.
  ptx::copy_4_bytes(base + 4 * thread, args.numbers + thread);
  if (fault != Fault::kReadsCopyEarly && fault != Fault::kEndsBeforeCopy) ptx::wait_for_copies();
  if (fault == Fault::kEndsBeforeCopy) return;
  int x = words[thread];

  // To another lane.
  words[kThreads + thread] = x;
  if (fault != Fault::kNoWarpBarrier) __syncwarp();
  x = words[kThreads + (thread ^ 5)];
  if (fault == Fault::kDivergentWarp && thread % 2 == 0) {
    x = __shfl_sync(~0u, x, thread % 32);
  } else {
    x = __shfl_xor_sync(~0u, __shfl_xor_sync(~0u, x, 3), 3);
  }

  // To another warp.
  ptx::store(base + 8 * kThreads + 4 * thread, x);
  if (fault == Fault::kTooFewArrive && thread / 32 == 1) return;
  if (fault == Fault::kComesTwice) ptx::arrive_block(2);
  if (fault == Fault::kComesTwice) ptx::arrive_block(2);
  if (fault != Fault::kNoBarrier) __syncthreads();
  if (fault == Fault::kBeyondShared) ptx::store(base + kSumBytes + 4 * thread, x);
  if (thread != 0) return;
  int total = 0;
  for (int i = 0; i < kThreads; ++i) total += words[2 * kThreads + i];

  // To another block.
  args.slots[blockIdx.x] = total;
  const bool is_last = ptx::count_around(args.count, kBlocks - 1) == kBlocks - 1;
  if (!is_last && fault != Fault::kReadsOthersEarly) return;
  total = 0;
  for (int i = 0; i < kBlocks; ++i) total += args.slots[i];
  if (is_last) *args.result = total;
}

std::vector<float> multiply(const std::vector<float>& a, const std::vector<float>& b,
                            const Way& way, Fault fault) {
  const auto rounded = [](const std::vector<float>& from) {
    return std::vector<__nv_bfloat16>(from.begin(), from.end());
  };
  ProductArgs args{};
  args.a = to_device(rounded(a));
  args.b = to_device(rounded(b));
  args.a_map = map_of(args.a);
  args.b_map = map_of(args.b);
  args.d = to_device(std::vector<float>(kSize * kSize));
  args.way = way;
  args.fault = fault;
  const cuda::LaunchShape shape{.grid = dim3(1), .block = dim3(128), .shared_bytes = kProductBytes};
  (void)cuda::launch_dependent<&multiply_tiles>("planted", shape, nullptr, args);
  return {args.d, args.d + kSize * kSize};
}

int sum(Fault fault) {
  std::vector<int> numbers(kThreads);
  for (int i = 0; i < kThreads; ++i) numbers[static_cast<std::size_t>(i)] = i;
  const SumArgs args{.numbers = to_device(numbers),
                     .slots = to_device(std::vector<int>(kBlocks)),
                     .count = to_device(std::vector<int>(1)),
                     .result = to_device(std::vector<int>(1)),
                     .fault = fault};
  const cuda::LaunchShape shape{
      .grid = dim3(kBlocks), .block = dim3(kThreads), .shared_bytes = kSumBytes};
  for (int call = 0; call < (fault == Fault::kReadsPreviousEarly ? 2 : 1); ++call) {
    (void)cuda::launch_dependent<&sum_numbers>("planted", shape, nullptr, args);
  }
  return *args.result;
}

}  // namespace seesaw::emulator::planted
