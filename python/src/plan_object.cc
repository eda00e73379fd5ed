#include "plan_object.h"

#include <cstdlib>
#include <new>

#include "array.h"

namespace seesaw::python {

Plan::Plan(WorkPlan work)
    : problem(work.problem),
      work_(std::move(work)),
      device_kind_(work_.device.kind),
      workspace_bytes_(work_.workspace_bytes) {}

void Plan::replan(std::span<const std::int32_t> kv_lengths, std::span<const std::int32_t> q_lengths,
                  const PlanOptions& options) {
  const WithoutInterpreter without_interpreter;
  const std::lock_guard lock(mutex_);
  const Status status = seesaw::replan(work_, kv_lengths, q_lengths, options);
  workspace_bytes_ = work_.workspace_bytes;
  throw_if_error(renamed(status, "options.num_splits", "num_splits"));
}

void Plan::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

std::span<std::byte> Plan::host_workspace() {
  if (host_bytes_ < work_.workspace_bytes) {
    host_memory_.reset();
    host_bytes_ = 0;
    const std::size_t num_bytes = (work_.workspace_bytes + 63) / 64 * 64;
    host_memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, num_bytes)));
    if (host_memory_ == nullptr) throw std::bad_alloc();
    host_bytes_ = num_bytes;
  }
  return {host_memory_.get(), host_bytes_};
}

}  // namespace seesaw::python
