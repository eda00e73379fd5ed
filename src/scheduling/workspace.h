// Where partial results, query offsets and kernel scratch lie in the caller's workspace.
#pragma once

#include <cstddef>

#include "seesaw/types/group_plan.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::scheduling {

/// Every region starts at a multiple of this many bytes: a cache line and an AVX-512 vector.
inline constexpr std::size_t kWorkspaceAlignment = 64;

/// Fills plan.{slots_offset, slot_stride, q_starts_offset, scratch_offset, scratch_stride,
/// workspace_bytes} from its problem, rows_per_tile, num_slots and worker_begin, in that order
/// from offset 0. With up(x) = x rounded up to 64 bytes:
///   slot_stride     up(4 * rows_per_tile * (d_v + 2))
///   workspace_bytes num_slots * slot_stride + (prefill: up(8 * b)) + num_workers * up(scratch)
/// Errors: kUnsupported (the sum does not fit std::size_t). Allocates nothing.
Status lay_out_workspace(WorkPlan& plan, std::size_t scratch_bytes_per_worker);

/// The same for groups of workers: fills groups.{cuts, first_ranges, kv_lengths, scratch}_offset
/// and the fields of the plan as above, from plan.problem.d_v and groups.shape. In that order:
/// slots, cuts, first_ranges, kv_lengths and the planner's prefix sums, int64 [num_sequences + 1]
/// (64 bytes at least, free for others once the planner has run), each at a multiple of 64 bytes.
/// Errors: kUnsupported (the sum does not fit std::size_t). Allocates nothing.
Status lay_out_group_workspace(GroupPlan& groups, WorkPlan& plan);

}  // namespace seesaw::scheduling
