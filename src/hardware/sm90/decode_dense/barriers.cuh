// Every barrier of the block.
//
// clang-format off
// barrier             arrivals                  waited for by  guards
// full(stage, half)   1: who issues the copies  score          keys of a half tile are there
// full_tail           1: who issues the copy    score          the tail column is there
// tail_free           4: the warps of score     value 1        the tail column is read
// named 1             128: score                score          warps are done with Q, or have written it
// named 2, 3          128: a value warpgroup    itself         warps are done with the keys, or cleared some
// kMergeBarrier       256: value                value          pieces are in their slots; who merges is known
// kWeightsReady       128: score                value          P and factors are written, keys too
// kWeightsFree        256: value                score          P and keys of that tile are read
// clang-format on
#pragma once

#include <cstdint>

#include "hardware/sm90/decode_dense/layouts.cuh"
#include "hardware/sm90/ptx/mbarrier.cuh"

namespace seesaw::sm90::decode_dense {

inline constexpr int kScoreBarrier = 1;
inline constexpr int kValueBarrier = 2;  // and 3
inline constexpr int kWeightsReady = 4;
inline constexpr int kWeightsFree = 5;
inline constexpr int kMergeBarrier = 6;

template <typename Config>
struct Barriers {
  std::uint32_t base;  // shared-memory address

  __device__ explicit Barriers(std::uint32_t shared) : base(shared + Shared<Config>::kBarriers) {}
  __device__ std::uint32_t full(int stage, int half) const { return base + 8 * (2 * stage + half); }
  __device__ std::uint32_t full_tail() const { return base + 8 * (2 * Config::kStages); }
  __device__ std::uint32_t tail_free() const { return base + 8 * (2 * Config::kStages + 1); }

  /// By one thread, before the block's first __syncthreads.
  __device__ void init() const {
    for (int stage = 0; stage < Config::kStages; ++stage) {
      ptx::init_barrier(full(stage, 0), 1);
      ptx::init_barrier(full(stage, 1), 1);
    }
    ptx::init_barrier(full_tail(), 1);
    ptx::init_barrier(tail_free(), 4);
    ptx::fence_barrier_init();
  }
};

}  // namespace seesaw::sm90::decode_dense
