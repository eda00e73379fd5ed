#include "support/device_oracle.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "support/cuda_objects.h"
#include "support/oracle_row.h"

namespace seesaw::testing {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
// What is computed at once: about 400 MB of device memory.
constexpr std::int64_t kMostKeys = 4 << 20;
constexpr std::int64_t kMostElements = 4 << 20;

/// Rows [first_row, first_row + num_rows) of a call, and where their parts go.
struct Chunk {
  OracleCall call;
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t most_keys = 1;          // of any row: the distance of rows in keys and chains
  OracleKey* keys = nullptr;           // [num_rows, most_keys]
  double* chains = nullptr;            // [num_rows, most_keys]
  OracleRowResult* results = nullptr;  // [num_rows]
  OracleColumn* columns = nullptr;     // [num_rows, d_v]
};

/// A warp a (row, key).
__global__ void __launch_bounds__(kThreads) score_keys(const __grid_constant__ Chunk chunk) {
  const std::int64_t warp = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
  const std::int64_t row_idx = warp / chunk.most_keys;
  const std::int64_t key_idx = warp % chunk.most_keys;
  if (row_idx >= chunk.num_rows) return;
  const OracleRow row = row_at(chunk.call, chunk.first_row + row_idx);
  if (key_idx >= visible_keys(chunk.call, row)) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  OracleKey key = score_key(chunk.call, row, key_idx, lane, kWarp);
  for (int step = kWarp / 2; step > 0; step /= 2) {
    OracleKey other;
    other.score = __shfl_xor_sync(0xffffffffu, key.score, step);
    other.abs_sum = __shfl_xor_sync(0xffffffffu, key.abs_sum, step);
    other.square_sum = __shfl_xor_sync(0xffffffffu, key.square_sum, step);
    other.max_abs = __shfl_xor_sync(0xffffffffu, key.max_abs, step);
    add_lane(key, other);
  }
  if (lane == 0) chunk.keys[row_idx * chunk.most_keys + key_idx] = key;
}

/// A thread a row.
__global__ void __launch_bounds__(kThreads) weigh_rows(const __grid_constant__ Chunk chunk) {
  const std::int64_t row_idx = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row_idx >= chunk.num_rows) return;
  const OracleRow row = row_at(chunk.call, chunk.first_row + row_idx);
  chunk.results[row_idx] =
      weigh_keys(chunk.call, row, chunk.keys + row_idx * chunk.most_keys,
                 visible_keys(chunk.call, row), chunk.chains + row_idx * chunk.most_keys);
}

/// A thread an element of the output.
__global__ void __launch_bounds__(kThreads) attend_columns(const __grid_constant__ Chunk chunk) {
  const std::int64_t element = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t row_idx = element / chunk.call.d_v;
  if (row_idx >= chunk.num_rows) return;
  const OracleRow row = row_at(chunk.call, chunk.first_row + row_idx);
  chunk.columns[element] = attend_column(chunk.call, chunk.keys + row_idx * chunk.most_keys,
                                         visible_keys(chunk.call, row), chunk.results[row_idx].kept,
                                         element % chunk.call.d_v);
}

void launch(void (*kernel)(Chunk), const char* name, const Chunk& chunk, std::int64_t num_threads,
            int threads_per_block, cudaStream_t stream) {
  const std::int64_t num_blocks = (num_threads + threads_per_block - 1) / threads_per_block;
  if (num_blocks < 1 || num_blocks > 0x7fffffff) throw std::runtime_error("device_oracle: grid");
  Chunk argument = chunk;
  void* arguments[] = {&argument};
  require_cuda(cudaLaunchKernel(
                   reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(num_blocks)),
                   dim3(static_cast<unsigned>(threads_per_block)), arguments, 0, stream),
               name);
}

void compute(const Chunk& chunk, cudaStream_t stream) {
  constexpr int kFewThreads = 32;  // rows are few and long: spread them over the device
  launch(score_keys, "score_keys", chunk, chunk.num_rows * chunk.most_keys * kWarp, kThreads,
         stream);
  launch(weigh_rows, "weigh_rows", chunk, chunk.num_rows, kFewThreads, stream);
  launch(attend_columns, "attend_columns", chunk, chunk.num_rows * chunk.call.d_v, kThreads,
         stream);
}

template <typename T>
void download(const DeviceBuffer& from, std::vector<T>& to, std::int64_t count,
              cudaStream_t stream) {
  to.resize(static_cast<std::size_t>(count));
  from.download(std::as_writable_bytes(std::span(to)), stream);
}

}  // namespace

algorithm::ReferenceOutputs device_reference(const AttentionProblem& problem,
                                             const DecodeArgs& args,
                                             std::span<const std::int32_t> kv_lengths,
                                             cudaStream_t stream) {
  algorithm::ReferenceOutputs outputs =
      empty_outputs(problem.batch * problem.s_q * problem.h_q, problem.d_v);
  if (outputs.num_rows == 0) return outputs;
  if (static_cast<std::int64_t>(kv_lengths.size()) != problem.batch)
    throw std::invalid_argument("device_reference: as many lengths as requests");

  const DeviceBuffer lengths(kv_lengths.size_bytes());
  lengths.upload(std::as_bytes(kv_lengths), stream);
  Chunk chunk;
  chunk.call = oracle_call(problem, args, reinterpret_cast<const std::int32_t*>(lengths.data()));
  chunk.most_keys = std::max(1, *std::max_element(kv_lengths.begin(), kv_lengths.end()));
  const std::int64_t most_rows = std::clamp<std::int64_t>(
      std::min(kMostKeys / chunk.most_keys, kMostElements / problem.d_v), 1, outputs.num_rows);
  const auto buffer_of = [&](std::int64_t count, std::size_t element_bytes) {
    return DeviceBuffer(static_cast<std::size_t>(count) * element_bytes);
  };
  const DeviceBuffer keys = buffer_of(most_rows * chunk.most_keys, sizeof(OracleKey));
  const DeviceBuffer chains = buffer_of(most_rows * chunk.most_keys, sizeof(double));
  const DeviceBuffer results = buffer_of(most_rows, sizeof(OracleRowResult));
  const DeviceBuffer columns = buffer_of(most_rows * problem.d_v, sizeof(OracleColumn));
  chunk.keys = reinterpret_cast<OracleKey*>(keys.data());
  chunk.chains = reinterpret_cast<double*>(chains.data());
  chunk.results = reinterpret_cast<OracleRowResult*>(results.data());
  chunk.columns = reinterpret_cast<OracleColumn*>(columns.data());

  std::vector<OracleRowResult> host_results;
  std::vector<OracleColumn> host_columns;
  for (; chunk.first_row < outputs.num_rows; chunk.first_row += chunk.num_rows) {
    chunk.num_rows = std::min(most_rows, outputs.num_rows - chunk.first_row);
    compute(chunk, stream);
    download(results, host_results, chunk.num_rows, stream);
    download(columns, host_columns, chunk.num_rows * problem.d_v, stream);
    require_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize after device_reference");
    store_rows(host_results, host_columns, chunk.first_row, outputs);
  }
  return outputs;
}

}  // namespace seesaw::testing
