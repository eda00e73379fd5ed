#include <algorithm>
#include <cstdint>
#include <string>

#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/cuda/error.h"
#include "hardware/cuda/verify_data.h"

namespace seesaw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostBlocks = 1024;

/// Where the first fault of each kind lies: the smallest number that any thread found.
struct Faults {
  static constexpr unsigned long long kNone = ~0ull;
  unsigned long long ends = kNone;  // 0: what no lengths change is not what prepare() leaves
  unsigned long long plan = kNone;  // index into cuts, then first_ranges, then kv_lengths
  unsigned long long data = kNone;  // request_idx << 32, plus 1 + column of block_table; 0: length
};

struct Check {
  DecodeCall call;
  std::int64_t max_pages = 0;
  Faults* faults = nullptr;

  __device__ std::int64_t num_pages_of(std::int64_t request_idx) const {
    return (std::int64_t{call.kv_lengths[request_idx]} + call.page_size - 1) / call.page_size;
  }
};

/// The first and last entries, which are the same for all lengths. Memory that never held a plan of
/// this shape is known by them, before its lengths are looked at.
__device__ bool are_ends_good(const DecodeCall& call) {
  const GroupShape& shape = call.shape;
  const Cut first = call.cuts[0];
  const Cut last = call.cuts[shape.num_ranges];
  return first.sequence_idx == 0 && first.block_idx == 0 &&
         last.sequence_idx == shape.num_sequences() && last.block_idx == 0 &&
         call.first_ranges[0] == 0 && call.first_ranges[shape.num_groups] == shape.num_ranges;
}

/// cuts[i] is a place in the row, and no place before cuts[i - 1].
__device__ bool is_cut_good(const DecodeCall& call, std::int32_t i) {
  const GroupShape& shape = call.shape;
  const Cut cut = call.cuts[i];
  const Cut before = i == 0 ? Cut{} : call.cuts[i - 1];
  const auto num_sequences = static_cast<std::int32_t>(shape.num_sequences());
  const bool rises = before.sequence_idx < cut.sequence_idx ||
                     (before.sequence_idx == cut.sequence_idx && before.block_idx <= cut.block_idx);
  if (!rises || cut.block_idx < 0 || cut.sequence_idx < 0) return false;
  if (cut.sequence_idx > num_sequences) return false;
  if (i == 0 && (cut.sequence_idx != 0 || cut.block_idx != 0)) return false;
  if (i == shape.num_ranges && cut.sequence_idx != num_sequences) return false;
  if (cut.block_idx == 0) return true;
  if (cut.sequence_idx == num_sequences) return false;
  const Sequence sequence = sequence_at(shape, cut.sequence_idx);
  const std::int32_t s_k = call.kv_lengths[sequence.request_idx];
  return std::int64_t{cut.block_idx} * shape.tokens_per_block < sequence_keys(shape, sequence, s_k);
}

__device__ bool is_first_range_good(const DecodeCall& call, std::int32_t i) {
  const std::int32_t first = call.first_ranges[i];
  const std::int32_t before = i == 0 ? 0 : call.first_ranges[i - 1];
  if (i == 0 && first != 0) return false;
  if (i == call.shape.num_groups && first != call.shape.num_ranges) return false;
  return before <= first && first <= call.shape.num_ranges;
}

/// The first of the entries of the prepared plan that this thread looks at and finds bad. prepare()
/// leaves no negative length.
__device__ unsigned long long find_plan_fault(const DecodeCall& call) {
  const std::int64_t num_cuts = std::int64_t{call.shape.num_ranges} + 1;
  const std::int64_t lengths_begin = num_cuts + call.shape.num_groups + 1;
  const std::int64_t end = lengths_begin + call.shape.batch;
  const std::int64_t num_threads = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < end;
       i += num_threads) {
    bool is_good = false;
    if (i < num_cuts) {
      is_good = is_cut_good(call, static_cast<std::int32_t>(i));
    } else if (i < lengths_begin) {
      is_good = is_first_range_good(call, static_cast<std::int32_t>(i - num_cuts));
    } else {
      is_good = call.kv_lengths[i - lengths_begin] >= 0;
    }
    if (!is_good) return static_cast<unsigned long long>(i);
  }
  return Faults::kNone;
}

/// The first bad length or block table entry that this thread looks at: a block takes a request, a
/// thread some of its pages.
__device__ unsigned long long find_data_fault(const Check& check) {
  const DecodeCall& call = check.call;
  for (std::int64_t request_idx = blockIdx.x; request_idx < call.shape.batch;
       request_idx += gridDim.x) {
    const auto coordinate = static_cast<unsigned long long>(request_idx) << 32;
    const std::int64_t num_pages = check.num_pages_of(request_idx);
    if (num_pages > check.max_pages) return coordinate;
    const std::int32_t* row = call.block_table + request_idx * call.block_table_request_stride;
    for (std::int64_t i = threadIdx.x; i < num_pages; i += kThreads) {
      const std::int32_t page = row[i * call.block_table_page_stride];
      if (page < 0 || page >= call.num_pages) {
        return coordinate + 1 + static_cast<unsigned long long>(i);
      }
    }
  }
  return Faults::kNone;
}

__global__ void __launch_bounds__(kThreads) find_faults(const __grid_constant__ Check check) {
  if (blockIdx.x == 0 && threadIdx.x == 0 && !are_ends_good(check.call)) check.faults->ends = 0;
  const unsigned long long plan_fault = find_plan_fault(check.call);
  if (plan_fault != Faults::kNone) atomicMin(&check.faults->plan, plan_fault);
  const unsigned long long data_fault = find_data_fault(check);
  if (data_fault != Faults::kNone) atomicMin(&check.faults->data, data_fault);
}

/// Copies from the device and waits for the stream.
Status fetch(void* to, const void* from, std::size_t num_bytes, cudaStream_t stream) {
  Status status = check_call(cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDeviceToHost, stream),
                             "cudaMemcpyAsync (data check)");
  if (!status.is_ok()) return status;
  return check_call(cudaStreamSynchronize(stream), "cudaStreamSynchronize (data check)");
}

Status check_not_captured(cudaStream_t stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  Status status = check_call(cudaStreamIsCapturing(stream, &capture), "cudaStreamIsCapturing");
  if (!status.is_ok() || capture == cudaStreamCaptureStatusNone) return status;
  return {StatusCode::kInvalidArgument,
          "check: is DataCheck::kVerify, must be DataCheck::kTrust while the executor's stream is "
          "being captured: the check waits for the device"};
}

Status find(const Check& check, cudaStream_t stream, Faults& found) {
  Status status = check_call(cudaMemsetAsync(check.faults, 0xff, sizeof(Faults), stream),
                             "cudaMemsetAsync (data check)");
  if (!status.is_ok()) return status;
  const std::int64_t num_entries =
      std::int64_t{check.call.shape.num_ranges} + check.call.shape.num_groups + 2;
  const std::int64_t num_blocks =
      std::max<std::int64_t>(check.call.shape.batch, (num_entries + kThreads - 1) / kThreads);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(std::min<std::int64_t>(num_blocks, kMostBlocks))),
      .block = dim3(kThreads)};
  status = launch_after_previous<&find_faults>("verify_data", shape, stream, check);
  return status.is_ok() ? fetch(&found, check.faults, sizeof(Faults), stream) : status;
}

Status word_data_fault(const Check& check, unsigned long long fault, cudaStream_t stream) {
  const DecodeCall& call = check.call;
  const auto request_idx = static_cast<std::int64_t>(fault >> 32);
  const auto column = static_cast<std::int64_t>(fault & 0xffffffffu) - 1;
  const std::string request = std::to_string(request_idx);
  std::int32_t kv_length = 0;
  Status status = fetch(&kv_length, call.kv_lengths + request_idx, sizeof kv_length, stream);
  if (!status.is_ok()) return status;
  if (column < 0) {
    return {StatusCode::kCorruptData, "kv_lengths[" + request + "]: is " +
                                          std::to_string(kv_length) +
                                          ", must be in [0, max_pages * page_size = " +
                                          std::to_string(check.max_pages * call.page_size) + "]"};
  }
  std::int32_t page = 0;
  status = fetch(&page,
                 call.block_table + request_idx * call.block_table_request_stride +
                     column * call.block_table_page_stride,
                 sizeof page, stream);
  if (!status.is_ok()) return status;
  return {StatusCode::kCorruptData,
          "block_table[" + request + ", " + std::to_string(column) + "]: is " +
              std::to_string(page) + ", must be in [0, num_pages = " +
              std::to_string(call.num_pages) + "): request " + request + " has " +
              std::to_string(kv_length) + " tokens in pages of " + std::to_string(call.page_size)};
}

}  // namespace

Status verify_data(const DecodeCall& call, std::int64_t max_pages, std::byte* scratch,
                   StreamHandle stream) {
  auto* const cuda_stream = static_cast<cudaStream_t>(stream);
  if (Status status = check_not_captured(cuda_stream); !status.is_ok()) return status;
  const Check check{call, max_pages, reinterpret_cast<Faults*>(scratch)};
  Faults found;
  if (Status status = find(check, cuda_stream, found); !status.is_ok()) return status;
  const auto no_plan = [](const std::string& why) {
    return Status(
        StatusCode::kCorruptData,
        "workspace: holds no plan for this call (" + why +
            "), must be prepared: was prepare() called with it after plan() or replan()?");
  };
  if (found.ends != Faults::kNone) return no_plan("what it holds does not end as this shape's do");
  // A length or an entry first: a bad length makes good cuts look bad.
  if (found.data != Faults::kNone) return word_data_fault(check, found.data, cuda_stream);
  if (found.plan == Faults::kNone) return Status::ok();
  return no_plan("entry " + std::to_string(found.plan) +
                 " of its cuts, ranges and lengths is none");
}

}  // namespace seesaw::cuda
