#include "support/run_case.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "seesaw/device.h"

namespace seesaw::testing {
namespace {

/// A 64-byte aligned block of exactly so many bytes, all NaN as any float type.
class Workspace {
 public:
  explicit Workspace(std::size_t num_bytes)
      : num_bytes_(num_bytes),
        memory_(static_cast<std::byte*>(
            ::operator new (std::max<std::size_t>(num_bytes, 1), std::align_val_t{64}))) {
    std::memset(memory_, 0xff, num_bytes);
  }
  ~Workspace() { ::operator delete (memory_, std::align_val_t{64}); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::span<std::byte> bytes() const { return {memory_, num_bytes_}; }

 private:
  std::size_t num_bytes_;
  std::byte* memory_;
};

Result<WorkPlan> plan_case(const AttentionCase& attention_case, const Executor& executor,
                           const RunOptions& options) {
  Result<DeviceSpec> device = probe_cpu();
  if (!device) return device.status();
  device.value().cpu_isa = options.isa;
  device.value().num_workers =
      options.num_workers > 0 ? options.num_workers : executor.num_threads();
  const CaseSpec& spec = attention_case.spec();
  return plan(spec.problem, device.value(), spec.kv_lengths, spec.q_lengths, options.plan);
}

/// Most partial states that any tile of the plan is merged from.
std::int32_t most_splits(const WorkPlan& plan) {
  std::int32_t num_splits = 1;
  for (const CombineItem& combine : plan.combines)
    num_splits = std::max(num_splits, combine.num_splits);
  return num_splits;
}

/// Most pieces of any sequence of a CUDA plan made on the host.
std::int32_t most_pieces(const GroupPlan& groups) {
  std::int32_t most = 1;
  std::int32_t num_pieces = 1;  // of the sequence that goes on
  for (std::size_t range = 0; range + 1 < groups.cuts.size(); ++range) {
    const Cut& begin = groups.cuts[range];
    const Cut& end = groups.cuts[range + 1];
    if (begin.block_idx > 0 && begin != end) most = std::max(most, ++num_pieces);
    if (begins_split_sequence(begin, end)) num_pieces = 1;
  }
  return most;
}

algorithm::KernelArithmetic cuda_arithmetic_of(const WorkPlan& plan, bool is_portable) {
  is_portable = is_portable || plan.kernel_name == "portable_decode_dense";
  algorithm::KernelArithmetic arithmetic = algorithm::tensor_core_arithmetic(
      plan.problem.q_dtype, is_portable ? 80 : plan.device.sm_arch);
  if (is_portable) {
    arithmetic.keys_per_block = 16;  // of the instance with the smallest steps
  } else {
    arithmetic.sums_rounded_weights = false;
    arithmetic.max_lag = 8;
    arithmetic.keys_per_block = plan.groups.shape.tokens_per_block;
  }
  arithmetic.num_splits = most_pieces(plan.groups);
  return arithmetic;
}

}  // namespace

algorithm::KernelArithmetic arithmetic_of(const WorkPlan& plan, bool is_portable) {
  if (plan.device.kind == DeviceKind::kCuda) return cuda_arithmetic_of(plan, is_portable);
  algorithm::KernelArithmetic arithmetic = plan.cpu_isa == CpuIsa::kAvx512Bf16
                                               ? algorithm::kBFloat16DotArithmetic
                                               : algorithm::kFloat32Arithmetic;
  arithmetic.keys_per_block = std::max(plan.kv_granule, 1);
  arithmetic.num_splits = most_splits(plan);
  return arithmetic;
}

algorithm::ErrorModel error_model_of(const CaseSpec& spec) {
  const bool repeats =
      spec.shape == ScoreShape::kEqualKeys || spec.shape == ScoreShape::kEqualValues;
  return !repeats && spec.stddev >= 0.25 ? algorithm::ErrorModel::kProbabilistic
                                         : algorithm::ErrorModel::kWorstCase;
}

::testing::AssertionResult check_outputs(const AttentionCase& attention_case,
                                         const algorithm::KernelArithmetic& arithmetic,
                                         RunReport* report) {
  const AttentionProblem& problem = attention_case.problem();
  const auto fail = [&](const ::testing::AssertionResult& cause) {
    return ::testing::AssertionFailure()
           << cause.message() << "\n  in " << to_string(attention_case.spec())
           << "\n  SEESAW_TEST_SEED=" << test_seed();
  };
  if (!attention_case.output_gaps_are_untouched())
    return fail(::testing::AssertionFailure() << "memory between rows of an output was written");

  const algorithm::ReferenceOutputs& reference = attention_case.reference();
  const auto bounds = algorithm::error_bounds(reference, problem, arithmetic,
                                              error_model_of(attention_case.spec()));
  RunReport unused;
  RunReport& to_fill = report != nullptr ? *report : unused;
  const std::int64_t num_tokens = problem.h_q > 0 ? reference.num_rows / problem.h_q : 0;
  auto result = compare("out", attention_case.out(), reference.out, bounds.out,
                        {num_tokens, problem.h_q, problem.d_v}, &to_fill.out);
  if (!result) return fail(result);
  result = compare("lse", attention_case.lse(), reference.lse, bounds.lse,
                   {num_tokens, problem.h_q}, &to_fill.lse);
  if (!result) return fail(result);
  if (problem.phase == Phase::kPrefill) {
    result = compare("max_logits", attention_case.max_logits(), reference.max_logits,
                     bounds.max_logits, {num_tokens, problem.h_q}, &to_fill.max_logits);
    if (!result) return fail(result);
  }
  return ::testing::AssertionSuccess();
}

Status compute_case(AttentionCase& attention_case, Executor& executor, const RunOptions& options,
                    WorkPlan* plan) {
  const Result<WorkPlan> planned = plan_case(attention_case, executor, options);
  if (!planned) return planned.status();
  if (plan != nullptr) *plan = planned.value();
  attention_case.poison_outputs();
  const Workspace workspace(planned.value().workspace_bytes);
  if (attention_case.problem().phase == Phase::kDecode) {
    DecodeArgs args = attention_case.decode_args();
    args.workspace = workspace.bytes();
    return decode(planned.value(), args, executor, options.check);
  }
  PrefillArgs args = attention_case.prefill_args();
  args.workspace = workspace.bytes();
  return prefill(planned.value(), args, executor, options.check);
}

::testing::AssertionResult run_case(AttentionCase& attention_case, Executor& executor,
                                    const RunOptions& options, RunReport* report) {
  RunReport unused;
  RunReport& to_fill = report != nullptr ? *report : unused;
  const Status status = compute_case(attention_case, executor, options, &to_fill.plan);
  if (!status)
    return ::testing::AssertionFailure()
           << to_string(status.code()) << ": " << status.message() << "\n  in "
           << to_string(attention_case.spec()) << "\n  SEESAW_TEST_SEED=" << test_seed();
  return check_outputs(attention_case, arithmetic_of(to_fill.plan), &to_fill)
         << "\n  kernel " << to_fill.plan.kernel_name;
}

}  // namespace seesaw::testing
