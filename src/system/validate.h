// The one place where arguments are checked against the contract. What passes here is trusted by
// scheduler and kernels. Nothing is allocated unless a failure has to be worded.
#pragma once

#include <cstdint>
#include <span>

#include "seesaw/attention.h"
#include "seesaw/plan.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

/// Field by field, then the products that rows and elements are counted by.
/// Errors: kInvalidArgument; kUnsupported for a quantized kv_format.
Status validate_problem(const AttentionProblem& problem);

Status validate_device(const DeviceSpec& device);

Status validate_options(const PlanOptions& options);

/// Counts and values of the lengths of one call.
Status validate_lengths(const AttentionProblem& problem, std::span<const std::int32_t> kv_lengths,
                        std::span<const std::int32_t> q_lengths);

/// The plan belongs to `phase` and its lengths to its problem.
Status validate_plan(const WorkPlan& plan, Phase phase);

/// All views of a call, a block table wide enough for the planned lengths, and the workspace.
/// The plan has been validated.
Status validate_decode(const WorkPlan& plan, const DecodeArgs& args);
Status validate_prefill(const WorkPlan& plan, const PrefillArgs& args);

/// Lengths on the device where the plan was made for such, else none; of a CUDA plan the workspace
/// too. The plan has been validated.
Status validate_prepare(const WorkPlan& plan, const ConstTensorView& kv_lengths,
                        std::span<const std::byte> workspace);

/// Query tokens of the whole call: b * s_q, or the sum of the chunks.
std::int64_t total_query_tokens(const WorkPlan& plan) noexcept;

}  // namespace seesaw
