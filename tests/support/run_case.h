// Runs an AttentionCase through the public API and compares it with the oracle.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "algorithm/error_bounds.h"
#include "seesaw/attention.h"
#include "seesaw/executor.h"
#include "seesaw/plan.h"
#include "support/attention_case.h"
#include "support/compare.h"

namespace seesaw::testing {

struct RunOptions {
  CpuIsa isa = CpuIsa::kGeneric;  // the best that the plan may take
  PlanOptions plan = {};
  DataCheck check = DataCheck::kTrust;
  int num_workers = 0;  // to plan for; 0: the executor's threads
};

/// What a run did, for tests that want more than pass or fail.
struct RunReport {
  WorkPlan plan;
  Agreement out;
  Agreement lse;
  Agreement max_logits;  // prefill
};

/// The arithmetic that a plan's kernel must keep to. CPU: bfloat16 weights with kAvx512Bf16, else
/// float32. CUDA: tensor cores; is_portable: the call takes the portable kernel, whatever is
/// planned.
algorithm::KernelArithmetic arithmetic_of(const WorkPlan& plan, bool is_portable = false);

/// The sharper model where its assumption holds of the inputs: nothing repeats, scores are spread.
algorithm::ErrorModel error_model_of(const CaseSpec& spec);

/// Checks outputs that stand in `attention_case` against the oracle: out, lse and (prefill)
/// max_logits within the bounds, nothing written outside of the views.
::testing::AssertionResult check_outputs(const AttentionCase& attention_case,
                                         const algorithm::KernelArithmetic& arithmetic,
                                         RunReport* report = nullptr);

/// Plans, calls decode or prefill into poisoned outputs with a workspace full of NaN, that is
/// 64-byte aligned and not a byte too long, and checks the outputs.
::testing::AssertionResult run_case(AttentionCase& attention_case, Executor& executor,
                                    const RunOptions& options, RunReport* report = nullptr);

/// Plans and runs without checking the outputs: for tests that compare runs with each other.
Status compute_case(AttentionCase& attention_case, Executor& executor, const RunOptions& options,
                    WorkPlan* plan = nullptr);

}  // namespace seesaw::testing
