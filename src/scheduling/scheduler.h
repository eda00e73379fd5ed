// Lengths, rows and workers -> who computes which keys of which rows. Pure functions of their
// arguments: no thread, clock, global or device is touched.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "scheduling/cost_model.h"
#include "scheduling/workspace.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::scheduling {

struct ScheduleInput {
  AttentionProblem problem;
  ScheduleMode mode = ScheduleMode::kThroughput;
  std::int32_t num_workers = 1;
  std::int32_t rows_per_tile = 0;  // most query rows of an item
  std::int32_t kv_granule = 0;     // tokens; items begin at multiples of it
  CostModel cost;
  std::span<const std::int32_t> kv_lengths;  // [b]; kTopK: not read
  std::span<const std::int32_t> q_lengths;   // [b], prefill only
  std::optional<std::int32_t> num_splits;    // as PlanOptions::num_splits
};

/// Divides the call's work among the workers: writes plan.{problem, mode, rows_per_tile,
/// kv_granule, items, worker_begin, combines, num_slots, planner_scratch} and nothing else of it
/// (device, kernel, lengths and workspace are the caller's). plan.rows_per_tile is the input's, or
/// s_q * (h_q / h_kv) (top-k: h_q / h_kv) where that is less. The same input gives the same plan.
/// The vectors' memory is reused: planning again for lengths that need no more of it allocates
/// nothing. After an error those fields are empty. The spans may be vectors of `plan` itself.
/// Guarantees, complexity and their proofs: docs/scheduling.md.
/// Errors: kInvalidArgument (a count that is not positive, a length out of range, spans that do not
/// fit the problem), kUnsupported (more than 2^31 - 1 items). Throws std::bad_alloc.
Status schedule(const ScheduleInput& input, WorkPlan& plan);

}  // namespace seesaw::scheduling
