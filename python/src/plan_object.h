// A work plan as a Python object, with the workspace that its calls need where none is given.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>

#include "interpreter.h"
#include "seesaw/seesaw.h"

namespace seesaw::python {

namespace nb = nanobind;

/// What a plan was made for, as Python sees it: a change would not be one of the plan's.
struct PlannedProblem : AttentionProblem {};

/// Locks are taken without the interpreter's: whoever holds one never waits for that.
class Plan {
 public:
  explicit Plan(WorkPlan work);

  const AttentionProblem problem;  // replanning keeps it
  DeviceKind device_kind() const { return device_kind_; }
  std::size_t workspace_bytes() const { return workspace_bytes_; }

  /// `read` with the plan, which nobody replans meanwhile. Drops the interpreter's lock.
  template <typename Read>
  auto with_work(Read read) const {
    const WithoutInterpreter without_interpreter;
    const std::shared_lock lock(mutex_);
    return read(work_);
  }
  /// `call` with the plan and its own workspace, which no other call uses meanwhile: `on_device`,
  /// or where that is empty memory of the host.
  template <typename Call>
  auto with_own_workspace(std::span<std::byte> on_device, Call call) {
    const WithoutInterpreter without_interpreter;
    const std::shared_lock lock(mutex_);
    const std::lock_guard workspace_lock(workspace_mutex_);
    return call(work_, on_device.empty() ? host_workspace() : on_device);
  }
  /// Plans again, alone.
  void replan(std::span<const std::int32_t> kv_lengths, std::span<const std::int32_t> q_lengths,
              const PlanOptions& options);

  /// Memory on a device, kept for the plan's calls there; its owner frees it. Both ask for the
  /// interpreter's lock, which orders threads here.
  struct DeviceWorkspace {
    nb::object owner;
    std::span<std::byte> bytes{};
    int ordinal = -1;
  };
  DeviceWorkspace device_workspace;

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::span<std::byte> host_workspace();

  WorkPlan work_;
  DeviceKind device_kind_;
  std::atomic<std::size_t> workspace_bytes_;
  mutable std::shared_mutex mutex_;  // of work_
  std::mutex workspace_mutex_;
  std::unique_ptr<std::byte, Free> host_memory_;
  std::size_t host_bytes_ = 0;
};

}  // namespace seesaw::python
