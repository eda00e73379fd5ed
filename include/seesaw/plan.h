// The first verb: problem + device + lengths -> work plan.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/export.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

struct PlanOptions {
  ScheduleMode mode = ScheduleMode::kThroughput;
  /// Forces exactly min(num_splits, granules of the request) splits of every tile; for tests.
  std::optional<std::int32_t> num_splits{};
};

/// Divides the work of one call among the device's workers. No device is touched; the result is
/// plain data and may be kept and reused while problem and lengths stay.
///   kv_lengths  int32 [b]: keys of each request, >= 0 (kTopK: ignored, may be empty)
///   q_lengths   int32 [b]: query tokens of each request, 0 .. s_q; prefill only, else empty
/// Time is O(tiles + num_workers log s_k), and in batch-invariant mode O(pieces log num_workers):
/// docs/scheduling.md has figures for 4,096 requests.
/// Errors: kInvalidArgument (shape or length, with the actual and the expected value),
/// kUnsupported (no kernel here serves the problem: the message lists each one's reason).
SEESAW_API Result<WorkPlan> plan(const AttentionProblem& problem, const DeviceSpec& device,
                                 std::span<const std::int32_t> kv_lengths,
                                 std::span<const std::int32_t> q_lengths = {},
                                 const PlanOptions& options = {});

/// The same for lengths that lie on a CUDA device: prepare() divides the work there, as often as
/// they change, without a word from the host. Kernel, grid and workspace are the same whatever the
/// lengths are, so decode may be captured into a graph and replayed with others. Errors as plan's;
/// kUnsupported for a device that is no CUDA device.
SEESAW_API Result<WorkPlan> plan_for_device_lengths(const AttentionProblem& problem,
                                                    const DeviceSpec& device,
                                                    const PlanOptions& options = {});

/// Plans again into `plan` for new lengths of the same problem, device and mode, reusing its
/// memory: after the first few steps of a decode loop nothing is allocated. Kernel and mode stay
/// as planned (options.mode is ignored). A CUDA plan has to be prepared again afterwards; one for
/// device lengths is refused: prepare() is all it needs. Errors as plan's: after kInvalidArgument
/// the plan is as it was, after kUnsupported it is of no use (decode and prefill refuse it).
SEESAW_API Status replan(WorkPlan& plan, std::span<const std::int32_t> kv_lengths,
                         std::span<const std::int32_t> q_lengths = {},
                         const PlanOptions& options = {});

/// Which kernel serves the plan, why, what was passed over and why, and how the work is divided:
/// several lines of text for a person.
SEESAW_API std::string explain(const WorkPlan& plan);

}  // namespace seesaw
