#include "scheduling/workspace.h"

#include <fmt/format.h>

#include <cstdint>
#include <limits>

namespace seesaw::scheduling {
namespace {

/// A sum of products in std::size_t that remembers whether it ever left it.
class CheckedSize {
 public:
  explicit CheckedSize(std::size_t value = 0) : value_(value) {}

  CheckedSize& add(std::size_t term) {
    overflowed_ |= __builtin_add_overflow(value_, term, &value_);
    return *this;
  }
  CheckedSize& multiply(std::size_t factor) {
    overflowed_ |= __builtin_mul_overflow(value_, factor, &value_);
    return *this;
  }
  CheckedSize& add(const CheckedSize& term) {
    overflowed_ |= term.overflowed_;
    return add(term.value_);
  }
  CheckedSize& align() {
    add(kWorkspaceAlignment - 1);
    value_ -= value_ % kWorkspaceAlignment;
    return *this;
  }
  std::size_t value() const noexcept { return value_; }
  /// A pointer difference within the workspace must be representable as well.
  bool fits() const noexcept {
    return !overflowed_ &&
           value_ <= static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  }

 private:
  std::size_t value_ = 0;
  bool overflowed_ = false;
};

}  // namespace

Status lay_out_workspace(WorkPlan& plan, std::size_t scratch_bytes_per_worker) {
  const auto rows = static_cast<std::size_t>(plan.rows_per_tile);
  CheckedSize slot(static_cast<std::size_t>(plan.problem.d_v));
  slot.add(2).multiply(rows).multiply(sizeof(float)).align();
  CheckedSize slots = slot;
  slots.multiply(static_cast<std::size_t>(plan.num_slots));
  CheckedSize q_starts(
      plan.problem.phase == Phase::kPrefill ? static_cast<std::size_t>(plan.problem.batch) : 0);
  q_starts.multiply(sizeof(std::int64_t)).align();
  CheckedSize scratch(scratch_bytes_per_worker);
  scratch.align();

  CheckedSize end = slots;
  const std::size_t q_starts_offset = end.value();
  end.add(q_starts);
  const std::size_t scratch_offset = end.value();
  CheckedSize scratches = scratch;
  end.add(scratches.multiply(static_cast<std::size_t>(plan.num_workers())));
  if (!end.fits()) {
    return {StatusCode::kUnsupported,
            fmt::format("workspace_bytes: {} slots of {} rows of d_v = {} and {} workers with {} "
                        "bytes of scratch each, must be at most {}",
                        plan.num_slots, plan.rows_per_tile, plan.problem.d_v, plan.num_workers(),
                        scratch_bytes_per_worker, std::numeric_limits<std::ptrdiff_t>::max())};
  }
  plan.slots_offset = 0;
  plan.slot_stride = slot.value();
  plan.q_starts_offset = q_starts_offset;
  plan.scratch_offset = scratch_offset;
  plan.scratch_stride = scratch.value();
  plan.workspace_bytes = end.value();
  return Status::ok();
}

Status lay_out_group_workspace(GroupPlan& groups, WorkPlan& plan) {
  const GroupShape& shape = groups.shape;
  CheckedSize slot(static_cast<std::size_t>(plan.problem.d_v));
  slot.add(2).multiply(static_cast<std::size_t>(shape.rows_per_tile)).multiply(sizeof(float));
  slot.align();
  CheckedSize end = slot;
  end.multiply(static_cast<std::size_t>(shape.num_slots()));
  const auto append = [&end](std::int64_t count, std::size_t size) {
    const std::size_t offset = end.value();
    CheckedSize bytes(static_cast<std::size_t>(count));
    end.add(bytes.multiply(size).align());
    return offset;
  };
  const std::size_t cuts_offset = append(std::int64_t{shape.num_ranges} + 1, sizeof(Cut));
  const std::size_t first_ranges_offset =
      append(std::int64_t{shape.num_groups} + 1, sizeof(std::int32_t));
  const std::size_t kv_lengths_offset = append(shape.batch, sizeof(std::int32_t));
  const std::size_t arrivals_offset = append(groups.num_arrivals(), sizeof(std::int32_t));
  const std::size_t scratch_offset = append(shape.num_sequences() + 1, sizeof(std::int64_t));
  if (!end.fits()) {
    return {StatusCode::kUnsupported,
            fmt::format("workspace_bytes: {} slots of {} rows of d_v = {}, must be at most {}",
                        shape.num_slots(), shape.rows_per_tile, plan.problem.d_v,
                        std::numeric_limits<std::ptrdiff_t>::max())};
  }
  groups.cuts_offset = cuts_offset;
  groups.first_ranges_offset = first_ranges_offset;
  groups.kv_lengths_offset = kv_lengths_offset;
  groups.arrivals_offset = arrivals_offset;
  groups.scratch_offset = scratch_offset;
  plan.slots_offset = 0;
  plan.slot_stride = slot.value();
  plan.q_starts_offset = cuts_offset;
  plan.scratch_offset = scratch_offset;
  plan.scratch_stride = 0;
  plan.workspace_bytes = end.value();
  return Status::ok();
}

}  // namespace seesaw::scheduling
