// A study of the schedule of dense MLA decode on Hopper, before the kernel is built: one score
// warpgroup and two value warpgroups, part of the queries in registers. It decides
// docs/decisions/hopper_decode_roles.md and prints that page's table.
//
// It has the real loads (TMA of pages of 64 tokens in shuffled order), the real products and the
// real softmax, and is checked against float64; it has no scheduler: block c computes row tile
// c % tiles_per_request of request c / tiles_per_request over all its keys.
//
//   benchmarks/hopper/run.sh [-DQUERY_STEPS_IN_REGISTERS=n] [-DCLUSTER_MULTICAST]
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "cute/arch/mma_sm90_gmma.hpp"

#ifndef QUERY_STEPS_IN_REGISTERS
#define QUERY_STEPS_IN_REGISTERS 28
#endif

namespace {

using Bf16 = __nv_bfloat16;
using cute::SM90::GMMA::Major;

constexpr int kRows = 64;     // query rows of a block
constexpr int kTokens = 64;   // of a tile of keys: one page
constexpr int kDQk = 576;
constexpr int kDV = 512;
constexpr int kStages = 3;    // tiles of keys in shared memory
constexpr int kSteps = kDQk / 16;  // products of m64n64k16 in Q K^T
constexpr int kRegisterSteps = QUERY_STEPS_IN_REGISTERS;
constexpr int kSharedSteps = kSteps - kRegisterSteps;
#ifdef CLUSTER_MULTICAST
constexpr int kClusterSize = 2;
#else
constexpr int kClusterSize = 1;
#endif
constexpr float kRescaleSlackLog2 = 8;  // m may lag behind the maximum by this much

// Shared memory. Keys stand in columns of 64 dimensions x 64 tokens, 8 KiB, swizzled by 128 bytes.
constexpr int kColumnBytes = 64 * kTokens * 2;
constexpr int kHalfBytes = 4 * kColumnBytes;  // the 256 dimensions of one value warpgroup
constexpr int kHalvesAt = 0;                  // [stage][half]
constexpr int kRopeAt = kStages * 2 * kHalfBytes;
constexpr int kQueryAt = kRopeAt + kColumnBytes;
constexpr int kWeightsAt = kQueryAt + (kSharedSteps + 3) / 4 * kColumnBytes;
constexpr int kAlphaAt = kWeightsAt + kColumnBytes;
constexpr int kBarriersAt = kAlphaAt + 512;
constexpr int kSharedBytes = kBarriersAt + 256;
static_assert(kSharedBytes <= 232448);
static_assert(kRegisterSteps >= 16 && kRegisterSteps <= 32);

/// Barrier           arrivals                           waited for by     guards
/// full half [3][2]  its value warpgroup's copy         score, value      keys have arrived
/// full rope         the score warpgroup's copy         score             rope has arrived
/// weights ready     128 of the score warpgroup         value             P and alpha are written
/// weights free      256 of the value warpgroups        score             P and alpha are read
/// empty ...         one of each block of the cluster   the copying one   (multicast only)
struct Barriers {
  uint32_t base;
  __device__ uint32_t full_half(int stage, int half) const { return base + 8 * (stage * 2 + half); }
  __device__ uint32_t full_rope() const { return base + 48; }
  __device__ uint32_t weights_ready() const { return base + 56; }
  __device__ uint32_t weights_free() const { return base + 64; }
  __device__ uint32_t empty_half(int stage, int half) const {
    return base + 72 + 8 * (stage * 2 + half);
  }
  __device__ uint32_t empty_rope() const { return base + 120; }
};

__device__ void init_barrier(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}
__device__ void arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ void arrive_in_cluster(uint32_t barrier) {
  for (int rank = 0; rank < kClusterSize; ++rank) {
    asm volatile(
        "{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;"
        "  mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote]; }" ::"r"(barrier),
        "r"(rank)
        : "memory");
  }
}
__device__ void expect_bytes(uint32_t barrier, int num_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(num_bytes)
               : "memory");
}
__device__ void wait(uint32_t barrier, int parity) {
  asm volatile(
      "{ .reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
__device__ void wait_for_cluster(uint32_t barrier, int parity) {
  asm volatile(
      "{ .reg .pred done;\n"
      "again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
__device__ void sync_warpgroup(int barrier_idx) {
  asm volatile("bar.sync %0, 128;" ::"r"(barrier_idx) : "memory");
}
__device__ void sync_cluster() {
  if (kClusterSize == 1) return;
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}

/// Copies 64 dimensions from `dim` of the 64 tokens from `token` into one column.
__device__ void copy_column(const CUtensorMap* keys, uint32_t to, int dim, int token,
                            uint32_t barrier) {
  if constexpr (kClusterSize == 1) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
        "l"(keys), "r"(dim), "r"(token), "r"(barrier)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
        "l"(keys), "r"(dim), "r"(token), "r"(barrier), "h"(static_cast<uint16_t>(3))
        : "memory");
  }
}

/// Matrix descriptor of a 128-byte-swizzled operand. K-major: groups of 8 rows are 1,024 bytes
/// apart. MN-major: so are groups of 8 along k; the next 64 along n are `column_bytes` away.
__device__ uint64_t operand(uint32_t address, int column_bytes = 16) {
  return static_cast<uint64_t>((address & 0x3ffff) >> 4) |
         static_cast<uint64_t>(column_bytes >> 4) << 16 | static_cast<uint64_t>(1024 >> 4) << 32 |
         uint64_t{1} << 62;
}

template <int... kIdx>
__device__ void multiply_registers(float (&s)[32], const uint32_t* a, uint64_t b, bool adds,
                                   std::integer_sequence<int, kIdx...>) {
  cute::SM90::GMMA::MMA_64x64x16_F32BF16BF16_RS<Major::K, Major::K>::fma(
      a[0], a[1], a[2], a[3], b, s[kIdx]..., static_cast<cute::SM90::GMMA::ScaleOut>(adds));
}
template <int... kIdx>
__device__ void multiply_shared(float (&s)[32], uint64_t a, uint64_t b,
                                std::integer_sequence<int, kIdx...>) {
  cute::SM90::GMMA::MMA_64x64x16_F32BF16BF16_SS<Major::K, Major::K>::fma(a, b, s[kIdx]...);
}
template <int... kIdx>
__device__ void multiply_values(float (&o)[128], uint64_t a, uint64_t b, bool adds,
                                std::integer_sequence<int, kIdx...>) {
  cute::SM90::GMMA::MMA_64x256x16_F32BF16BF16_SS<Major::K, Major::MN>::fma(
      a, b, o[kIdx]..., static_cast<cute::SM90::GMMA::ScaleOut>(adds));
}

template <int kCount>
__device__ void fence_registers(float (&x)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) cute::warpgroup_fence_operand(x[i]);
}

__device__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ uint32_t pack(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

struct Call {
  const Bf16* q;      // [blocks, 64, 576]
  const int* pages;   // [requests, num_tiles]
  int num_tiles;
  int tiles_per_request;
  float scale_log2;
  Bf16* out;          // [blocks, 64, 512]
  float* lse;         // [blocks, 64]
};

/// m (log2 units) and l of a thread's two rows, r and r + 8; l is the thread's own part.
struct RowPair {
  float m[2] = {-INFINITY, -INFINITY};
  float l[2] = {0, 0};
};

/// Online softmax of one tile: scores become packed weights. m stays while the maximum exceeds it
/// by less than kRescaleSlackLog2: weights then reach 2^8, as exact in bfloat16 as below 1, and O
/// need not be rescaled.
__device__ void weigh(const float (&s)[32], float scale_log2, RowPair& state, float (&alpha)[2],
                      uint32_t (&weights)[16]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = -INFINITY;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      most = fmaxf(most, fmaxf(s[4 * j + 2 * half], s[4 * j + 2 * half + 1]));
    }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 2)) * scale_log2;
    alpha[half] = 1;
    if (most > state.m[half] + kRescaleSlackLog2) {
      alpha[half] = exp2_approx(state.m[half] - most);
      state.m[half] = most;
    }
    state.l[half] *= alpha[half];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float a = exp2_approx(fmaf(s[4 * j + 2 * half], scale_log2, -state.m[half]));
      const float b = exp2_approx(fmaf(s[4 * j + 2 * half + 1], scale_log2, -state.m[half]));
      state.l[half] += a + b;
      weights[2 * j + half] = pack(a, b);
    }
  }
}

/// S = Q K^T two steps ahead of nobody: scores of tile i + 1 are multiplied while the value
/// warpgroups multiply tile i, and their softmax runs under those products.
__device__ void run_score_warpgroup(const CUtensorMap* keys, const Call& call, unsigned char* shared,
                                    Barriers barriers, int rank) {
  const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int thread = threadIdx.x % 128, lane = thread % 32;
  const int row = thread / 32 * 16 + lane / 4;
  const Bf16* q = call.q + static_cast<size_t>(blockIdx.x) * kRows * kDQk;
  const int* pages =
      call.pages + static_cast<size_t>(blockIdx.x / call.tiles_per_request) * call.num_tiles;

  uint32_t query[kRegisterSteps * 4];
#pragma unroll
  for (int step = 0; step < kRegisterSteps; ++step) {
    const Bf16* p = q + row * kDQk + step * 16 + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      query[4 * step + i] = *reinterpret_cast<const uint32_t*>(p + i % 2 * 8 * kDQk + i / 2 * 8);
    }
  }

  float s[32];
  const auto multiply = [&](int tile) {
    constexpr auto kAll = std::make_integer_sequence<int, 32>{};
    const int stage = tile % kStages, parity = tile / kStages & 1;
    const auto step_of = [&](int step, uint32_t column) {
      const uint64_t k = operand(column + step % 4 * 32);
      if (step < kRegisterSteps) {
        multiply_registers(s, query + 4 * (step < kRegisterSteps ? step : 0), k, step > 0, kAll);
      } else {
        const int shared_step = step - kRegisterSteps;
        multiply_shared(s, operand(base + kQueryAt + shared_step / 4 * kColumnBytes +
                                   shared_step % 4 * 32), k, kAll);
      }
    };
    wait(barriers.full_half(stage, 0), parity);
    cute::warpgroup_arrive();
#pragma unroll
    for (int step = 0; step < 16; ++step) {
      step_of(step, base + kHalvesAt + stage * 2 * kHalfBytes + step / 4 * kColumnBytes);
    }
    wait(barriers.full_half(stage, 1), parity);
#pragma unroll
    for (int step = 16; step < 32; ++step) {
      step_of(step, base + kHalvesAt + stage * 2 * kHalfBytes + step / 4 * kColumnBytes);
    }
    cute::warpgroup_commit_batch();
    wait(barriers.full_rope(), tile & 1);
#pragma unroll
    for (int step = 32; step < kSteps; ++step) step_of(step, base + kRopeAt);
    cute::warpgroup_commit_batch();
  };
  const auto load_rope = [&](int tile) {
    if (thread != 0 || tile >= call.num_tiles) return;
    if (kClusterSize > 1 && tile > 0) arrive_in_cluster(barriers.empty_rope());
    expect_bytes(barriers.full_rope(), kColumnBytes);
    if (kClusterSize > 1) {
      if (tile % 2 != rank) return;
      if (tile > 0) wait_for_cluster(barriers.empty_rope(), tile - 1 & 1);
    }
    copy_column(keys, base + kRopeAt, kDV, pages[tile] * kTokens, barriers.full_rope());
  };

  load_rope(0);
  multiply(0);
  cute::warpgroup_wait<0>();
  fence_registers(s);
  RowPair state;
  float* const alphas = reinterpret_cast<float*>(shared + kAlphaAt) + row;
  unsigned char* const weights_row = shared + kWeightsAt + row * 128 + lane % 4 * 4;
  for (int tile = 0; tile < call.num_tiles; ++tile) {
    sync_warpgroup(1);  // every warp's products with the rope are done
    load_rope(tile + 1);
    float alpha[2];
    uint32_t weights[16];
    weigh(s, call.scale_log2, state, alpha, weights);
    if (tile + 1 < call.num_tiles) multiply(tile + 1);
    if (tile > 0) wait(barriers.weights_free(), tile - 1 & 1);
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      // Rows r and r + 8 swizzle alike.
      *reinterpret_cast<uint32_t*>(weights_row + (j / 2 ^ (row & 7)) * 16 + j % 2 * 1024) =
          weights[j];
    }
    if (lane % 4 == 0) {
      alphas[0] = alpha[0];
      alphas[8] = alpha[1];
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    arrive(barriers.weights_ready());
    cute::warpgroup_wait<0>();
    fence_registers(s);
  }

  wait(barriers.weights_free(), call.num_tiles - 1 & 1);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float l = state.l[half];
    l += __shfl_xor_sync(~0u, l, 1);
    l += __shfl_xor_sync(~0u, l, 2);
    if (lane % 4 == 0) {
      alphas[8 * half] = 1 / l;
      call.lse[blockIdx.x * kRows + row + 8 * half] = (state.m[half] + log2f(l)) * 0.69314718f;
    }
  }
  arrive(barriers.weights_ready());
}

/// O += P V for 256 of the 512 columns. Each value warpgroup refills the half of a stage that it
/// has just finished: nobody else reads it then, for P came from its scores.
__device__ void run_value_warpgroup(const CUtensorMap* keys, const Call& call, unsigned char* shared,
                                    Barriers barriers, int half, int rank) {
  const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int thread = threadIdx.x % 128, lane = thread % 32;
  const int row = thread / 32 * 16 + lane / 4;
  const int* pages =
      call.pages + static_cast<size_t>(blockIdx.x / call.tiles_per_request) * call.num_tiles;
  const auto load = [&](int tile) {
    if (thread != 0 || tile >= call.num_tiles) return;
    const int stage = tile % kStages;
    const uint32_t full = barriers.full_half(stage, half);
    const uint32_t empty = barriers.empty_half(stage, half);
    if (kClusterSize > 1 && tile >= kStages) arrive_in_cluster(empty);
    expect_bytes(full, kHalfBytes);
    if (kClusterSize > 1 && tile >= kStages) wait_for_cluster(empty, tile / kStages - 1 & 1);
#pragma unroll
    for (int i = 0; i < 4 / kClusterSize; ++i) {
      const int column = rank * (4 / kClusterSize) + i;
      copy_column(keys, base + kHalvesAt + (stage * 2 + half) * kHalfBytes + column * kColumnBytes,
                  half * 256 + column * 64, pages[tile] * kTokens, full);
    }
  };
  for (int tile = 0; tile < kStages; ++tile) load(tile);

  float o[128];
  const auto* alphas = reinterpret_cast<const float*>(shared + kAlphaAt);
  for (int tile = 0; tile < call.num_tiles; ++tile) {
    wait(barriers.weights_ready(), tile & 1);
    const float alpha[2] = {alphas[row], alphas[row + 8]};
    if (tile > 0 && __any_sync(~0u, alpha[0] != 1 || alpha[1] != 1)) {
#pragma unroll
      for (int j = 0; j < 128; ++j) o[j] *= alpha[j / 2 % 2];
    }
    cute::warpgroup_arrive();
    const uint32_t v = base + kHalvesAt + (tile % kStages * 2 + half) * kHalfBytes;
#pragma unroll
    for (int step = 0; step < kTokens / 16; ++step) {
      multiply_values(o, operand(base + kWeightsAt + step * 32),
                      operand(v + step * 2048, kColumnBytes), tile > 0 || step > 0,
                      std::make_integer_sequence<int, 128>{});
    }
    cute::warpgroup_commit_batch();
    cute::warpgroup_wait<0>();
    fence_registers(o);
    arrive(barriers.weights_free());
    sync_warpgroup(2 + half);  // every warp has read its part of the stage
    load(tile + kStages);
  }

  wait(barriers.weights_ready(), call.num_tiles & 1);
  const float factor[2] = {alphas[row], alphas[row + 8]};
  Bf16* out = call.out + (static_cast<size_t>(blockIdx.x) * kRows + row) * kDV + half * 256 +
              lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < 64; ++j) {
    *reinterpret_cast<uint32_t*>(out + j % 2 * 8 * kDV + j / 2 * 8) =
        pack(o[2 * j] * factor[j % 2], o[2 * j + 1] * factor[j % 2]);
  }
}

__global__ void __cluster_dims__(kClusterSize, 1, 1) __launch_bounds__(384, 1)
    decode(const __grid_constant__ CUtensorMap keys, const Call call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0);
  const int rank = kClusterSize > 1 ? blockIdx.x % kClusterSize : 0;
  const Barriers barriers{static_cast<uint32_t>(__cvta_generic_to_shared(shared)) + kBarriersAt};
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      for (int half = 0; half < 2; ++half) {
        init_barrier(barriers.full_half(stage, half), 1);
        init_barrier(barriers.empty_half(stage, half), kClusterSize);
      }
    }
    init_barrier(barriers.full_rope(), 1);
    init_barrier(barriers.empty_rope(), kClusterSize);
    init_barrier(barriers.weights_ready(), 128);
    init_barrier(barriers.weights_free(), 256);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  const Bf16* q = call.q + static_cast<size_t>(blockIdx.x) * kRows * kDQk;
  for (int i = threadIdx.x; i < kSharedSteps * 2 * kRows; i += 384) {  // vectors of 8 dimensions
    const int vector = i / kRows, row = i % kRows;
    const uint4 x =
        *reinterpret_cast<const uint4*>(q + row * kDQk + kRegisterSteps * 16 + vector * 8);
    *reinterpret_cast<uint4*>(shared + kQueryAt + vector / 8 * kColumnBytes + row * 128 +
                              (vector % 8 ^ (row & 7)) * 16) = x;
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  sync_cluster();
  // 64,512 registers: 168 a thread at the start.
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 184;");
    run_score_warpgroup(&keys, call, shared, barriers, rank);
  } else {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 160;");
    run_value_warpgroup(&keys, call, shared, barriers, warpgroup - 1, rank);
  }
  sync_cluster();  // no block leaves while another may still write its shared memory
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

template <typename T>
struct DeviceArray {
  explicit DeviceArray(size_t n) : size(n) { check(cudaMalloc(&data, n * sizeof(T)), "cudaMalloc"); }
  ~DeviceArray() { cudaFree(data); }
  std::vector<T> to_host() const {
    std::vector<T> host(size);
    check(cudaMemcpy(host.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return host;
  }
  T* data = nullptr;
  size_t size;
};

__global__ void fill_normal(Bf16* p, size_t n, uint32_t seed) {
  const auto mix = [](uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
  };
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < n;
       i += size_t{gridDim.x} * blockDim.x) {
    const uint32_t a = mix(static_cast<uint32_t>(i) * 2 + seed);
    const uint32_t b = mix(static_cast<uint32_t>(i) * 2 + 1 + seed);
    const float u = (static_cast<float>(a >> 8) + 0.5f) / 16777216.0f;
    p[i] = __float2bfloat16(sqrtf(-2 * logf(u)) * cospif(static_cast<float>(b >> 8) / 8388608.0f));
  }
}

CUtensorMap map_keys(Bf16* keys, size_t num_tokens) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                         cudaEnableDefault, &found), "cuTensorMapEncodeTiled");
  CUtensorMap map;
  const cuuint64_t dims[] = {kDQk, num_tokens};
  const cuuint64_t strides[] = {kDQk * 2};
  const cuuint32_t box[] = {64, kTokens};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry)(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, keys, dims, strides, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) check(cudaErrorInvalidValue, "tensor map");
  return map;
}

/// Largest errors of out and lse over some rows, against float64.
struct Errors {
  double out = 0;
  double lse = 0;
};

Errors compare(const std::vector<Bf16>& keys, const std::vector<Bf16>& q,
               const std::vector<int>& pages, const std::vector<Bf16>& out,
               const std::vector<float>& lse, const Call& call) {
  Errors errors;
  const int num_blocks = static_cast<int>(lse.size()) / kRows;
  for (int block = 0; block < num_blocks; block += 23) {
    for (const int row : {0, 5, 17, 63}) {
      const size_t q_row = static_cast<size_t>(block) * kRows + row;
      const int num_tokens = call.num_tiles * kTokens;
      std::vector<double> scores(num_tokens), o(kDV);
      const auto key = [&](int token) {
        const size_t request = block / call.tiles_per_request;
        const int page = pages[request * call.num_tiles + token / kTokens];
        return &keys[(static_cast<size_t>(page) * kTokens + token % kTokens) * kDQk];
      };
      for (int token = 0; token < num_tokens; ++token) {
        for (int d = 0; d < kDQk; ++d) {
          scores[token] += static_cast<double>(__bfloat162float(key(token)[d])) *
                           __bfloat162float(q[q_row * kDQk + d]) / 24;
        }
      }
      const double most = *std::max_element(scores.begin(), scores.end());
      double l = 0;
      for (int token = 0; token < num_tokens; ++token) {
        const double weight = std::exp(scores[token] - most);
        l += weight;
        for (int d = 0; d < kDV; ++d) o[d] += weight * __bfloat162float(key(token)[d]);
      }
      for (int d = 0; d < kDV; ++d) {
        const double error = std::abs(o[d] / l - __bfloat162float(out[q_row * kDV + d]));
        if (!(error <= errors.out)) errors.out = error;  // NaN stays
      }
      const double error = std::abs(most + std::log(l) - lse[q_row]);
      if (!(error <= errors.lse)) errors.lse = error;
    }
  }
  return errors;
}

bool study(int num_blocks, int num_tokens, int tiles_per_request) {
  const int num_tiles = num_tokens / kTokens;
  const size_t num_pages = static_cast<size_t>(num_tiles) * (num_blocks / tiles_per_request);
  DeviceArray<Bf16> keys(num_pages * kTokens * kDQk), q(size_t(num_blocks) * kRows * kDQk);
  DeviceArray<Bf16> out(size_t(num_blocks) * kRows * kDV);
  DeviceArray<float> lse(size_t(num_blocks) * kRows);
  DeviceArray<int> pages(num_pages);
  fill_normal<<<1024, 256>>>(keys.data, keys.size, 1);
  fill_normal<<<1024, 256>>>(q.data, q.size, 1u << 31);
  std::vector<int> order(num_pages);
  for (size_t i = 0; i < num_pages; ++i) order[i] = static_cast<int>(i);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  check(cudaMemcpy(pages.data, order.data(), num_pages * sizeof(int), cudaMemcpyHostToDevice), "copy");
  check(cudaMemset(out.data, 0xff, out.size * sizeof(Bf16)), "memset");
  const CUtensorMap map = map_keys(keys.data, num_pages * kTokens);
  const Call call{q.data, pages.data, num_tiles, tiles_per_request, 1.44269504f / 24, out.data, lse.data};
  check(cudaFuncSetAttribute(decode, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes), "shared");

  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<double> ms;
  for (int i = 0; i < 25; ++i) {
    check(cudaEventRecord(begin), "record");
    decode<<<num_blocks, 384, kSharedBytes>>>(map, call);
    check(cudaGetLastError(), "launch");
    check(cudaEventRecord(end), "record");
    check(cudaEventSynchronize(end), "decode");
    float elapsed = 0;
    check(cudaEventElapsedTime(&elapsed, begin, end), "time");
    if (i >= 4) ms.push_back(elapsed);
  }
  std::sort(ms.begin(), ms.end());
  const double median = ms[ms.size() / 2];
  const double flop = 2.0 * num_blocks * kRows * num_tokens * (kDQk + kDV);
  std::printf("%7d %6d %10.1f %8.0f %8.0f", num_tokens, tiles_per_request * kRows, median * 1e3,
              flop / median / 1e9, static_cast<double>(keys.size) * 2 / median / 1e6);
  bool good = true;
  if (num_tokens <= 1024) {
    const Errors errors = compare(keys.to_host(), q.to_host(), order, out.to_host(), lse.to_host(), call);
    // bfloat16 rounding of P and of out, whose values are of the order of sqrt(e / 1024).
    good = errors.out < 4e-3 && errors.lse < 1e-4;
    std::printf("   errors: out %.1e, lse %.1e%s", errors.out, errors.lse, good ? "" : "  WRONG");
  }
  std::printf("\n");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return good;
}

}  // namespace

int main() {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "device");
  std::printf("%s, %d SMs; %d of %d query steps in registers; cluster of %d\n", device.name,
              device.multiProcessorCount, kRegisterSteps, kSteps, kClusterSize);
  std::printf("%7s %6s %10s %8s %8s\n", "tokens", "rows", "us", "TFLOPS", "GB/s");
  bool good = true;
  for (const int num_tokens : {1024, 8192, 32768}) {
    for (const int tiles_per_request : {1, 2, 4, 12}) {
      if (tiles_per_request % kClusterSize != 0) continue;
      const int blocks = device.multiProcessorCount / 12 * 12;
      good = study(blocks, num_tokens, tiles_per_request) && good;
    }
  }
  return good ? 0 : 1;
}
