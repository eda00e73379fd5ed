#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "system/validate.h"
#include "system/view_rules.h"

namespace seesaw {
namespace {

constexpr std::size_t kWorkspaceAlignment = 64;

const char* to_string(Phase phase) { return phase == Phase::kDecode ? "decode" : "prefill"; }

/// Leading dimensions of the arrays that have one entry per query token.
struct TokenDims {
  std::array<DimRule, 2> dims;
  int rank = 0;
};

TokenDims token_dims(const WorkPlan& plan) {
  const AttentionProblem& problem = plan.problem;
  if (problem.phase == Phase::kDecode) {
    return {.dims = {DimRule{"b", problem.batch}, DimRule{"s_q", problem.s_q}}, .rank = 2};
  }
  return {.dims = {DimRule{"total_q", total_query_tokens(plan)}}, .rank = 1};
}

/// rule's shape becomes [tokens.., tail..].
ViewRule with_shape(ViewRule rule, const TokenDims& tokens, std::initializer_list<DimRule> tail) {
  for (int i = 0; i < tokens.rank; ++i) {
    rule.dims[static_cast<std::size_t>(rule.rank++)] = tokens.dims[static_cast<std::size_t>(i)];
  }
  for (const DimRule& dim : tail) rule.dims[static_cast<std::size_t>(rule.rank++)] = dim;
  return rule;
}

ViewRule with_shape(ViewRule rule, std::initializer_list<DimRule> dims) {
  return with_shape(rule, TokenDims{}, dims);
}

Status check_query_and_output(const WorkPlan& plan, const ConstTensorView& q,
                              const TensorView& out) {
  const AttentionProblem& problem = plan.problem;
  const TokenDims tokens = token_dims(plan);
  Status status = check_view(
      q, with_shape({.name = "q", .dtype = problem.q_dtype, .dtype_term = "problem.q_dtype"},
                    tokens, {{"h_q", problem.h_q}, {"d_qk", problem.d_qk}}));
  if (!status.is_ok()) return status;
  return check_view(out, with_shape({.name = "out",
                                     .dtype = problem.out_dtype,
                                     .dtype_term = "problem.out_dtype",
                                     .access = Access::kWrite},
                                    tokens, {{"h_q", problem.h_q}, {"d_v", problem.d_v}}));
}

/// The planned lengths fit the table, whatever its entries are: reading a row past its end is the
/// caller's shape error, not his data's.
Status check_table_width(const WorkPlan& plan, const ConstTensorView& block_table) {
  const std::int64_t page_size = plan.problem.page_size;
  const auto longest = std::max_element(plan.kv_lengths.begin(), plan.kv_lengths.end());
  if (longest == plan.kv_lengths.end()) return Status::ok();
  const std::int64_t needed = (std::int64_t{*longest} + page_size - 1) / page_size;
  if (block_table.dim(1) >= needed) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("block_table.shape[1]: is {}, must be max_pages >= {}: kv_lengths[{}] = {} "
                      "tokens in pages of {}",
                      block_table.dim(1), needed, longest - plan.kv_lengths.begin(), *longest,
                      page_size)};
}

Status check_dense_arguments(const WorkPlan& plan, const CacheArgs& cache) {
  constexpr const char* kReason = "where problem.sparsity is dense";
  Status status = check_absent(cache.indices, "indices", kReason);
  if (status.is_ok()) status = check_absent(cache.top_k_lengths, "top_k_lengths", kReason);
  if (status.is_ok()) {
    status = check_view(cache.block_table,
                        with_shape({.name = "block_table", .dtype = DType::kInt32},
                                   {{"b", plan.problem.batch}, {"max_pages", kAnySize}}));
  }
  return status.is_ok() ? check_table_width(plan, cache.block_table) : status;
}

/// A block table may be given and is not looked at: the drop-in contract passes a dummy.
Status check_top_k_arguments(const WorkPlan& plan, const CacheArgs& cache) {
  const AttentionProblem& problem = plan.problem;
  Status status =
      check_view(cache.indices, with_shape({.name = "indices", .dtype = DType::kInt32},
                                           token_dims(plan), {{"top_k", problem.top_k}}));
  if (!status.is_ok()) return status;
  return check_optional_view(
      cache.top_k_lengths,
      with_shape({.name = "top_k_lengths", .dtype = DType::kInt32}, {{"b", problem.batch}}));
}

Status check_cache(const WorkPlan& plan, const CacheArgs& cache) {
  const AttentionProblem& problem = plan.problem;
  Status status = check_view(
      cache.kv_cache, with_shape({.name = "kv_cache",
                                  .dtype = plain_dtype(problem.kv_format).value_or(DType::kUInt8),
                                  .dtype_term = "problem.kv_format"},
                                 {{"num_pages", kAnySize},
                                  {"page_size", problem.page_size},
                                  {"h_kv", problem.h_kv},
                                  {"d_qk", problem.d_qk}}));
  if (status.is_ok()) {
    status = problem.sparsity == Sparsity::kDense ? check_dense_arguments(plan, cache)
                                                  : check_top_k_arguments(plan, cache);
  }
  if (!status.is_ok()) return status;
  if (!problem.has_attn_sink) {
    return check_absent(cache.attn_sink, "attn_sink", "where problem.has_attn_sink is false");
  }
  return check_view(
      cache.attn_sink,
      with_shape({.name = "attn_sink", .dtype = DType::kFloat32, .last_stride = LastStride::kAny},
                 {{"h_q", problem.h_q}}));
}

Status check_workspace(const WorkPlan& plan, std::span<const std::byte> workspace) {
  if (workspace.size() < plan.workspace_bytes) {
    return {StatusCode::kWorkspaceTooSmall,
            fmt::format("workspace.size(): is {} bytes, must be >= plan.workspace_bytes = {}",
                        workspace.size(), plan.workspace_bytes)};
  }
  if (plan.workspace_bytes == 0) return Status::ok();
  if (workspace.data() == nullptr) {
    return {StatusCode::kInvalidArgument,
            fmt::format("workspace.data(): is null, must point to plan.workspace_bytes = {} bytes",
                        plan.workspace_bytes)};
  }
  const auto past = reinterpret_cast<std::uintptr_t>(workspace.data()) % kWorkspaceAlignment;
  if (past == 0) return Status::ok();
  return {
      StatusCode::kInvalidArgument,
      fmt::format("workspace.data(): is {} past a multiple of {} bytes, must be {}-byte aligned",
                  past, kWorkspaceAlignment, kWorkspaceAlignment)};
}

/// prepare() copies them to the device as the shape counts them.
Status check_cut_counts(const GroupPlan& groups) {
  const struct {
    const char* name;
    std::size_t actual;
    std::int64_t expected;
  } counts[] = {
      {"cuts", groups.cuts.size(), std::int64_t{groups.shape.num_ranges} + 1},
      {"first_ranges", groups.first_ranges.size(), std::int64_t{groups.shape.num_groups} + 1},
  };
  for (const auto& count : counts) {
    if (static_cast<std::int64_t>(count.actual) != count.expected) {
      return {StatusCode::kInvalidArgument,
              fmt::format("plan.groups.{}.size(): is {}, must be {}: was the plan changed by hand?",
                          count.name, count.actual, count.expected)};
    }
  }
  return Status::ok();
}

constexpr ViewRule float_output(const char* name) {
  return {.name = name,
          .dtype = DType::kFloat32,
          .last_stride = LastStride::kAny,
          .access = Access::kWrite};
}

}  // namespace

std::int64_t total_query_tokens(const WorkPlan& plan) noexcept {
  if (plan.problem.phase == Phase::kDecode) return plan.problem.batch * plan.problem.s_q;
  return std::accumulate(plan.q_lengths.begin(), plan.q_lengths.end(), std::int64_t{0});
}

Status validate_plan(const WorkPlan& plan, Phase phase) {
  const AttentionProblem& problem = plan.problem;
  if (problem.phase != phase) {
    return {StatusCode::kInvalidArgument, fmt::format("plan.problem.phase: is {}, must be {}",
                                                      to_string(problem.phase), to_string(phase))};
  }
  const struct {
    const char* name;
    std::size_t actual;
    bool is_used;
  } counts[] = {
      {"kv_lengths", plan.kv_lengths.size(),
       problem.sparsity == Sparsity::kDense && !plan.has_device_lengths()},
      {"q_lengths", plan.q_lengths.size(), phase == Phase::kPrefill},
  };
  for (const auto& count : counts) {
    const std::int64_t expected = count.is_used ? problem.batch : 0;
    if (static_cast<std::int64_t>(count.actual) != expected) {
      return {StatusCode::kInvalidArgument,
              fmt::format("plan.{}.size(): is {}, must be {}: was the plan changed by hand?",
                          count.name, count.actual, expected)};
    }
  }
  return Status::ok();
}

Status validate_decode(const WorkPlan& plan, const DecodeArgs& args) {
  const AttentionProblem& problem = plan.problem;
  Status status = check_query_and_output(plan, args.q, args.out);
  if (status.is_ok()) status = check_cache(plan, args.cache);
  if (status.is_ok()) {
    status = check_optional_view(
        args.lse, with_shape(float_output("lse"),
                             {{"b", problem.batch}, {"h_q", problem.h_q}, {"s_q", problem.s_q}}));
  }
  return status.is_ok() ? check_workspace(plan, args.workspace) : status;
}

Status validate_prepare(const WorkPlan& plan, const ConstTensorView& kv_lengths,
                        std::span<const std::byte> workspace) {
  const AttentionProblem& problem = plan.problem;
  const bool is_on_cpu = plan.device.kind == DeviceKind::kCpu;
  Status status = Status::ok();
  if (total_query_tokens(plan) == 0) {
    // There is nothing to divide: lengths may be given or not.
  } else if (is_on_cpu) {
    status = check_absent(kv_lengths, "kv_lengths", "where the plan is for the CPU");
  } else if (plan.has_device_lengths()) {
    status = check_view(
        kv_lengths,
        with_shape({.name = "kv_lengths", .dtype = DType::kInt32, .last_stride = LastStride::kAny},
                   {{"b", problem.batch}}));
  } else {
    status = check_absent(kv_lengths, "kv_lengths", "where the plan was made for host lengths");
    if (status.is_ok()) status = check_cut_counts(plan.groups);
  }
  return status.is_ok() && !is_on_cpu ? check_workspace(plan, workspace) : status;
}

Status validate_prefill(const WorkPlan& plan, const PrefillArgs& args) {
  Status status = check_query_and_output(plan, args.q, args.out);
  if (status.is_ok()) status = check_cache(plan, args.cache);
  const TokenDims tokens = token_dims(plan);
  const DimRule heads{"h_q", plan.problem.h_q};
  if (status.is_ok()) {
    status = check_optional_view(args.lse, with_shape(float_output("lse"), tokens, {heads}));
  }
  if (status.is_ok()) {
    status = check_optional_view(args.max_logits,
                                 with_shape(float_output("max_logits"), tokens, {heads}));
  }
  return status.is_ok() ? check_workspace(plan, args.workspace) : status;
}

}  // namespace seesaw
