// WHO computes which part: the output of planning and the whole input of a launch besides pointers.
// Plain data; the same plan always gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/group_plan.h"

namespace seesaw {

enum class ScheduleMode : std::uint8_t {
  kThroughput,      // balanced ranges, as few splits as that allows
  kLatency,         // few requests: split until every worker has a share
  kBatchInvariant,  // a request's splits depend on its own length only: bit-equal in any batch
};

constexpr const char* to_string(ScheduleMode mode) noexcept {
  switch (mode) {
    case ScheduleMode::kThroughput:
      return "throughput";
    case ScheduleMode::kLatency:
      return "latency";
    case ScheduleMode::kBatchInvariant:
      return "batch_invariant";
  }
  return "unknown";
}

/// A range of keys for a tile of query rows. Rows of a (request, KV head) are numbered
/// query_idx * group_size + head_in_group, so a tile of them shares every key it reads.
struct WorkItem {
  std::int32_t request_idx = 0;
  std::int32_t kv_head_idx = 0;
  std::int32_t row_begin = 0;  // rows [row_begin, row_end)
  std::int32_t row_end = 0;
  std::int32_t kv_begin = 0;  // keys [kv_begin, kv_end): tokens (dense) or index columns (top-k)
  std::int32_t kv_end = 0;
  std::int32_t slot_idx = -1;  // row of partial results in the workspace; -1: writes the output
};

/// Partial results of one tile to merge: slots [slot_begin, slot_begin + num_splits).
struct CombineItem {
  std::int32_t request_idx = 0;
  std::int32_t kv_head_idx = 0;
  std::int32_t row_begin = 0;
  std::int32_t row_end = 0;
  std::int32_t slot_begin = 0;
  std::int32_t num_splits = 0;
};

struct WorkPlan {
  AttentionProblem problem;
  DeviceSpec device;
  ScheduleMode mode = ScheduleMode::kThroughput;
  std::string kernel_name;            // as listed by the registry
  CpuIsa cpu_isa = CpuIsa::kGeneric;  // CPU: instruction set of that kernel, <= device.cpu_isa
  std::vector<std::string> reasons;   // why this kernel, and what was passed over for what cause

  std::int32_t rows_per_tile = 0;  // most rows of an item
  std::int32_t kv_granule = 0;     // tokens; split points are multiples of it
  std::vector<WorkItem> items;     // CPU: grouped by worker, in the order each works through them
  std::vector<std::int32_t> worker_begin;  // [num_workers + 1]: items of a worker
  std::vector<CombineItem> combines;
  std::int32_t num_slots = 0;  // partial results of split tiles; CUDA: room for them, 0: no split
  GroupPlan groups;            // CUDA: the division, instead of items and combines

  std::vector<std::int32_t> kv_lengths;  // [b]: the lengths planned for; none: they are on a device
  std::vector<std::int32_t> q_lengths;   // [b], prefill only

  // The workspace: offsets in bytes, each a multiple of 64.
  //   slots    [num_slots]: o float32 [rows_per_tile, d_v], then m and l float32 [rows_per_tile]
  //   q_starts int64 [b], prefill only: first query token of each request
  //   scratch  [num_workers]: scratch_stride bytes each, the kernel's own
  // CUDA: slots of groups.shape.num_slots(), then what GroupPlan's offsets name; filled by
  // prepare().
  std::size_t slots_offset = 0;
  std::size_t slot_stride = 0;
  std::size_t q_starts_offset = 0;
  std::size_t scratch_offset = 0;
  std::size_t scratch_stride = 0;
  std::size_t workspace_bytes = 0;

  std::vector<std::int64_t> planner_scratch;  // kept so that planning again allocates nothing

  /// CUDA: the division is made on the device, by prepare(), from lengths that lie there.
  bool has_device_lengths() const noexcept {
    return device.kind == DeviceKind::kCuda && kv_lengths.empty();
  }
  int num_workers() const noexcept {
    return worker_begin.empty() ? 0 : static_cast<int>(worker_begin.size()) - 1;
  }
};

}  // namespace seesaw
