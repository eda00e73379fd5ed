#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "scheduling/group_cuts.h"
#include "seesaw/plan.h"
#include "system/registry.h"
#include "system/validate.h"

namespace seesaw {
namespace {

using Text = std::back_insert_iterator<std::string>;

void explain_problem(const WorkPlan& plan, Text text) {
  const AttentionProblem& problem = plan.problem;
  const bool is_decode = problem.phase == Phase::kDecode;
  fmt::format_to(text, "problem    {}: b {}, s_q {}{}, h_q {}, h_kv {}, d_qk {}, d_v {}\n",
                 is_decode ? "decode" : "prefill", problem.batch, is_decode ? "" : "up to ",
                 problem.s_q, problem.h_q, problem.h_kv, problem.d_qk, problem.d_v);
  fmt::format_to(text, "           q {}, cache {} in pages of {}, out {}, ",
                 to_string(problem.q_dtype), to_string(problem.kv_format), problem.page_size,
                 to_string(problem.out_dtype));
  if (problem.sparsity == Sparsity::kTopK) {
    fmt::format_to(text, "top {} keys by index", problem.top_k);
  } else {
    fmt::format_to(text, "dense, {}", problem.mask == Mask::kCausal ? "causal" : "no mask");
  }
  fmt::format_to(text, ", scale {:.6g}{}\n", problem.scale(),
                 problem.has_attn_sink ? ", attention sink" : "");
}

void explain_kernel(const WorkPlan& plan, Text text) {
  fmt::format_to(text, "kernel     {} on {}, {} worker{}\n",
                 plan.kernel_name.empty() ? "none" : plan.kernel_name,
                 plan.device.name.empty() ? "an unnamed device" : plan.device.name,
                 plan.device.num_workers, plan.device.num_workers == 1 ? "" : "s");
  for (const std::string& reason : plan.reasons) fmt::format_to(text, "           {}\n", reason);
  const KernelRow* kernel = find_kernel(plan.kernel_name);
  if (kernel == nullptr || kernel->cuda() == nullptr) return;
  if (kernel->cuda()->why_not_call != nullptr) {
    fmt::format_to(text,
                   "           calls whose arrays it cannot take (alignment) go to the next kernel "
                   "that can\n");
  }
}

/// Scores (rows times keys) that each worker computes: the least, the mean and the most.
struct Loads {
  std::int64_t least = 0;
  std::int64_t most = 0;
  double mean = 0;
};

Loads loads_of(const WorkPlan& plan) {
  Loads loads;
  double total = 0;
  for (int worker = 0; worker < plan.num_workers(); ++worker) {
    const auto first = static_cast<std::size_t>(worker);
    std::int64_t load = 0;
    for (std::int32_t i = plan.worker_begin[first]; i < plan.worker_begin[first + 1]; ++i) {
      const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
      load += std::int64_t{item.row_end - item.row_begin} * (item.kv_end - item.kv_begin);
    }
    loads.least = worker == 0 ? load : std::min(loads.least, load);
    loads.most = std::max(loads.most, load);
    total += static_cast<double>(load);
  }
  loads.mean = plan.num_workers() > 0 ? total / plan.num_workers() : 0;
  return loads;
}

/// How the items that the plan lists are split, and how much each worker has.
void explain_items(const WorkPlan& plan, Text text) {
  std::int32_t most_splits = 1;
  for (const CombineItem& combine : plan.combines) {
    most_splits = std::max(most_splits, combine.num_splits);
  }
  if (plan.combines.empty()) {
    fmt::format_to(text, "           no tile is split\n");
  } else {
    fmt::format_to(text, "           {} tiles split, into up to {} parts: {} partial results\n",
                   plan.combines.size(), most_splits, plan.num_slots);
  }
  const Loads loads = loads_of(plan);
  fmt::format_to(text, "           scores a worker: least {}, mean {:.0f}, most {}\n", loads.least,
                 loads.mean, loads.most);
}

constexpr const char* to_string(CutRule::Kind kind) {
  switch (kind) {
    case CutRule::Kind::kFlow:
      return "even shares of all sequences";
    case CutRule::Kind::kSpread:
      return "groups of its own for each sequence where that ends no later, else even shares";
    case CutRule::Kind::kPieces:
      return "each sequence by its own length only";
  }
  return "unknown";
}

void explain_groups(const WorkPlan& plan, Text text) {
  const GroupShape& shape = plan.groups.shape;
  if (plan.kernel_name.empty()) {
    fmt::format_to(text, "schedule   none: planning has failed\n");
    return;
  }
  fmt::format_to(text,
                 "schedule   {}: {} sequences (request, KV head, row group) over {} groups of {} "
                 "worker{}, {} rows each\n",
                 to_string(plan.mode), shape.num_sequences(), shape.num_groups, shape.group_size,
                 shape.group_size == 1 ? "" : "s", shape.rows_per_tile);
  fmt::format_to(text, "           {} ranges of blocks of {} keys: {}\n", shape.num_ranges,
                 shape.tokens_per_block, to_string(plan.groups.rule.kind));
  if (shape.num_sequences() == 0) return;
  if (plan.has_device_lengths()) {
    fmt::format_to(text, "           lengths are on the device: prepare() divides there\n");
    return;
  }
  WorkPlan listed;
  scheduling::list_items(plan.groups, plan.kv_lengths, listed);
  listed.num_slots = 0;  // those in use, of the room that there is
  for (const CombineItem& combine : listed.combines) listed.num_slots += combine.num_splits;
  explain_items(listed, text);
}

void explain_schedule(const WorkPlan& plan, Text text) {
  if (plan.device.kind == DeviceKind::kCuda) return explain_groups(plan, text);
  fmt::format_to(text, "schedule   {}: {} items of up to {} rows, split at multiples of {} keys\n",
                 to_string(plan.mode), plan.items.size(), plan.rows_per_tile, plan.kv_granule);
  explain_items(plan, text);
}

void explain_workspace(const WorkPlan& plan, Text text) {
  if (plan.device.kind == DeviceKind::kCuda) {
    const GroupPlan& groups = plan.groups;
    fmt::format_to(
        text,
        "workspace  {} bytes: {} slots of {}, {} of cuts, ranges, lengths and arrivals, {} of the "
        "planner's sums\n",
        plan.workspace_bytes, plan.workspace_bytes == 0 ? 0 : groups.shape.num_slots(),
        plan.slot_stride, groups.scratch_offset - groups.cuts_offset,
        plan.workspace_bytes - groups.scratch_offset);
    return;
  }
  fmt::format_to(text,
                 "workspace  {} bytes: {} slots of {}, {} of query offsets, {} workers' scratch of "
                 "{}\n",
                 plan.workspace_bytes, plan.num_slots, plan.slot_stride,
                 plan.scratch_offset - plan.q_starts_offset, plan.num_workers(),
                 plan.scratch_stride);
}

}  // namespace

std::string explain(const WorkPlan& plan) {
  std::string text;
  explain_problem(plan, std::back_inserter(text));
  explain_kernel(plan, std::back_inserter(text));
  explain_schedule(plan, std::back_inserter(text));
  explain_workspace(plan, std::back_inserter(text));
  return text;
}

}  // namespace seesaw
