// The benchmark's own kernels: random data, a pause, and reading memory as fast as it goes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "seesaw/types/dtype.h"

namespace seesaw::bench {

/// Fills num_bytes with numbers of mean 0 and deviation 1 (sums of four uniform ones) in bfloat16
/// or float16. Equal seeds give equal bits.
void fill_random(cudaStream_t stream, std::byte* data, std::size_t num_bytes, DType dtype,
                 std::uint64_t seed);

/// Keeps the stream busy, on one thread, for so long.
void pause(cudaStream_t stream, double seconds);

/// Reads num_bytes (a multiple of 16) with plain loads and writes a few bytes to `sink`.
void read_all(cudaStream_t stream, const std::byte* data, std::size_t num_bytes,
              std::uint32_t* sink, int num_multiprocessors);

}  // namespace seesaw::bench
