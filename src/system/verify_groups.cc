// The CUDA half of verify_plan: shape and workspace of a plan that lies over groups of workers. Its
// cuts are checked on the device, where they are used.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "system/guard.h"
#include "system/registry.h"

namespace seesaw {
namespace {

Status refuse(const std::string& field, std::int64_t actual, const std::string& expected) {
  return {StatusCode::kInvalidArgument,
          fmt::format("plan.groups.{}: is {}, must be {}: was the plan changed by hand?", field,
                      actual, expected)};
}

/// What the problem fixes, and what is left within what kernels take.
Status check_shape(const WorkPlan& plan) {
  const AttentionProblem& problem = plan.problem;
  const KernelRow* kernel = find_kernel(plan.kernel_name);
  if (kernel == nullptr || kernel->cuda() == nullptr) {
    return {StatusCode::kInvalidArgument,
            fmt::format("plan.kernel_name: is \"{}\", must be a CUDA kernel's", plan.kernel_name)};
  }
  const cuda::DecodeTraits traits = kernel->cuda()->traits(problem);
  const CutRule& cut_rule = plan.groups.rule;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const int num_slots = cut_rule.kind == CutRule::Kind::kPieces ? 1 : 2;
  const GroupShape& shape = plan.groups.shape;
  const bool is_causal = problem.mask == Mask::kCausal && problem.s_q > 1;
  const std::int64_t num_rows = problem.s_q * problem.group_size();
  const std::int64_t group_rows = std::int64_t{shape.group_size} * shape.rows_per_tile;
  const struct {
    const char* field;
    std::int64_t actual, least, most;
  } rules[] = {
      {"shape.batch", shape.batch, problem.batch, problem.batch},
      {"shape.s_q", shape.s_q, problem.s_q, problem.s_q},
      {"shape.h_kv", shape.h_kv, problem.h_kv, problem.h_kv},
      {"shape.heads_per_kv", shape.heads_per_kv, problem.group_size(), problem.group_size()},
      {"shape.is_causal", shape.is_causal ? 1 : 0, is_causal ? 1 : 0, is_causal ? 1 : 0},
      {"shape.rows_per_tile", shape.rows_per_tile, traits.rows_per_tile, traits.rows_per_tile},
      {"shape.tokens_per_block", shape.tokens_per_block, traits.tokens_per_block,
       traits.tokens_per_block},
      {"shape.group_size", shape.group_size, 1,
       std::min<std::int64_t>(traits.max_group_size, plan.device.num_workers)},
      {"shape.num_groups", shape.num_groups, 1, plan.device.num_workers},
      {"shape.num_ranges", shape.num_ranges, 1, kMost},
      {"shape.slots_per_range", shape.slots_per_range, num_slots, num_slots},
      {"rule.sequence_overhead", cut_rule.sequence_overhead, 0, kMost},
      {"rule.min_piece_blocks", cut_rule.min_piece_blocks, 1, kMost},
      {"rule.max_pieces", cut_rule.max_pieces, 1, kMost},
      {"rule.blocks_per_piece", cut_rule.blocks_per_piece, 1, kMost},
  };
  for (const auto& rule : rules) {
    if (rule.actual < rule.least || rule.actual > rule.most) {
      return refuse(rule.field, rule.actual, fmt::format("in [{}, {}]", rule.least, rule.most));
    }
  }
  const std::int64_t row_groups = (num_rows + group_rows - 1) / group_rows;
  if (shape.row_groups == row_groups) return Status::ok();
  return refuse("shape.row_groups", shape.row_groups,
                fmt::format("{}: {} rows in groups of {}", row_groups, num_rows, group_rows));
}

Status check_regions(const WorkPlan& plan) {
  const GroupPlan& groups = plan.groups;
  const GroupShape& shape = groups.shape;
  const std::int64_t slot_bytes =
      std::int64_t{shape.rows_per_tile} * (plan.problem.d_v + 2) * std::int64_t{sizeof(float)};
  if (plan.slot_stride < static_cast<std::size_t>(slot_bytes)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("plan.slot_stride: is {}, must be >= {}: was the plan changed by hand?",
                        plan.slot_stride, slot_bytes)};
  }
  const struct {
    const char* name;
    std::size_t offset, stride;
    std::int64_t count;
  } regions[] = {
      {"slots_offset", plan.slots_offset, plan.slot_stride, shape.num_slots()},
      {"groups.cuts_offset", groups.cuts_offset, sizeof(Cut), std::int64_t{shape.num_ranges} + 1},
      {"groups.first_ranges_offset", groups.first_ranges_offset, sizeof(std::int32_t),
       std::int64_t{shape.num_groups} + 1},
      {"groups.kv_lengths_offset", groups.kv_lengths_offset, sizeof(std::int32_t), shape.batch},
      {"groups.arrivals_offset", groups.arrivals_offset, sizeof(std::int32_t),
       groups.num_arrivals()},
      {"groups.scratch_offset", groups.scratch_offset, sizeof(std::int64_t),
       std::max<std::int64_t>(8, shape.num_sequences() + 1)},
  };
  for (const auto& region : regions) {
    Status status = verify_region(plan, region.name, region.offset, region.stride, region.count);
    if (!status.is_ok()) return status;
  }
  return Status::ok();
}

/// decode() merges nothing where num_slots says that nothing is split.
Status check_splits(const WorkPlan& plan) {
  const std::vector<Cut>& cuts = plan.groups.cuts;
  const bool may_be_split =
      plan.has_device_lengths() ||
      std::any_of(cuts.begin(), cuts.end(), [](const Cut& cut) { return cut.block_idx > 0; });
  if (!may_be_split || plan.num_slots > 0) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("plan.num_slots: is {}, must be {}: the plan's cuts split sequences: was the "
                      "plan changed by hand?",
                      plan.num_slots, plan.groups.shape.num_slots())};
}

}  // namespace

Status verify_groups(const WorkPlan& plan) {
  Status status = check_shape(plan);
  if (status.is_ok()) status = check_regions(plan);
  return status.is_ok() ? check_splits(plan) : status;
}

}  // namespace seesaw
