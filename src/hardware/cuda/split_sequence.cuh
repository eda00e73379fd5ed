// Which ranges a split sequence lies in: found from the cuts by a whole warp, before the wait for
// the decode kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "hardware/cuda/decode_call.h"
#include "hardware/cuda/dependent_launch.cuh"

namespace seesaw::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// A sequence in the slots of num_ranges neighbouring ranges, some of them perhaps empty.
struct SplitSequence {  // without initializers: it may be in shared memory
  std::int32_t sequence_idx;
  std::uint32_t first_range;
  std::int32_t num_ranges;
};

/// Unsigned, so that the cuts of a warp's lanes past the last range have a number too: they are the
/// end of the row. May be called before the wait for the decode kernel.
__device__ Cut load_cut(const DecodeCall& call, std::uint32_t range_idx) {
  const std::uint32_t idx = min(range_idx, static_cast<std::uint32_t>(call.shape.num_ranges));
  const int2 cut = load_before_wait(reinterpret_cast<const int2*>(call.cuts) + idx);
  return {cut.x, cut.y};
}

/// The sequence of which the first of several pieces lies in that range; where there is none, one
/// of no ranges. By a whole warp.
__device__ SplitSequence split_from_range(const DecodeCall& call, std::uint32_t range_idx) {
  const unsigned lane = threadIdx.x % kWarp;
  const Cut here = load_cut(call, range_idx + lane);
  const auto cut_of = [&](int other) -> Cut {
    return {__shfl_sync(kAllLanes, here.sequence_idx, other),
            __shfl_sync(kAllLanes, here.block_idx, other)};
  };
  const Cut begin = cut_of(0);
  const Cut end = cut_of(1);
  if (!begins_split_sequence(begin, end)) return {};
  // Its last piece's range is the one whose end is the first cut in another sequence.
  unsigned others = __ballot_sync(kAllLanes, lane > 1 && here.sequence_idx != end.sequence_idx);
  std::uint32_t base = range_idx;
#pragma unroll 1
  while (others == 0) {
    base += kWarp;
    const Cut cut = load_cut(call, base + lane);
    others = __ballot_sync(kAllLanes, cut.sequence_idx != end.sequence_idx);
  }
  return {end.sequence_idx, range_idx,
          static_cast<std::int32_t>(base - range_idx) + __ffs(static_cast<int>(others)) - 1};
}

/// Ranges [begin, begin + size), in the last of which that does not begin after it a place lies.
struct Search {
  std::uint32_t begin;
  std::uint32_t size;

  /// Of cuts `step` apart, so many do not come after the place.
  __device__ void narrow(std::uint32_t step, int num_before) {
    const std::uint32_t skipped = static_cast<std::uint32_t>(num_before - 1) * step;
    begin += skipped;
    size = min(step, size - skipped);
  }
  /// To the one range.
  __device__ void finish(const DecodeCall& call, const Cut& place) {
#pragma unroll 1
    while (size > 1) {
      const std::uint32_t step = (size - 1) / kWarp + 1;
      const Cut cut = load_cut(call, begin + threadIdx.x % kWarp * step);
      narrow(step, __popc(__ballot_sync(kAllLanes, cut <= place)));
    }
  }
};

/// The sequence with the ranges that it touches; whole where that is one. By a whole warp: no warp
/// waits for another, and the cuts of all ranges of a Hopper GPU come in one latency.
__device__ SplitSequence split_of_sequence(const DecodeCall& call, std::int32_t sequence_idx) {
  constexpr int kCutsPerLane = 5;
  const Cut first_place{sequence_idx, 0};
  const Cut last_place{sequence_idx, INT32_MAX};
  const auto num_ranges = static_cast<std::uint32_t>(call.shape.num_ranges);
  const std::uint32_t step = (num_ranges - 1) / (kCutsPerLane * kWarp) + 1;
  Cut cuts[kCutsPerLane];
#pragma unroll
  for (int i = 0; i < kCutsPerLane; ++i) {
    cuts[i] = load_cut(call, (threadIdx.x % kWarp + i * kWarp) * step);
  }
  int num_before_first = 0;
  int num_before_last = 0;
#pragma unroll
  for (int i = 0; i < kCutsPerLane; ++i) {
    num_before_first += __popc(__ballot_sync(kAllLanes, cuts[i] <= first_place));
    num_before_last += __popc(__ballot_sync(kAllLanes, cuts[i] <= last_place));
  }
  Search first{0, num_ranges};
  Search last{0, num_ranges};
  first.narrow(step, num_before_first);
  last.narrow(step, num_before_last);
  first.finish(call, first_place);
  last.finish(call, last_place);
  return {sequence_idx, first.begin, static_cast<std::int32_t>(last.begin - first.begin) + 1};
}

}  // namespace seesaw::cuda
