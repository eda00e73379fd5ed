// Plans: problem + device + lengths -> who computes what.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "binding.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;
using MaybeSplits = std::optional<std::int32_t>;

Plan* make_plan(const AttentionProblem& problem, const DeviceSpec& device, nb::handle kv_lengths,
                nb::handle q_lengths, ScheduleMode mode, MaybeSplits num_splits) {
  const auto keys = read_lengths("kv_lengths", kv_lengths);
  const auto queries = read_lengths("q_lengths", q_lengths);
  const WithoutInterpreter without_interpreter;
  Result<WorkPlan> made = plan(problem, device, keys, queries, {mode, num_splits});
  throw_if_error(renamed(made.status(), "options.num_splits", "num_splits"));
  return new Plan(std::move(made).value());
}

Plan* make_device_plan(const AttentionProblem& problem, const DeviceSpec& device,
                       ScheduleMode mode) {
  const WithoutInterpreter without_interpreter;
  return new Plan(plan_for_device_lengths(problem, device, {mode, std::nullopt}).value());
}

void replan_in_place(Plan& plan, nb::handle kv_lengths, nb::handle q_lengths,
                     MaybeSplits num_splits) {
  const auto keys = read_lengths("kv_lengths", kv_lengths);
  const auto queries = read_lengths("q_lengths", q_lengths);
  plan.replan(keys, queries, {.num_splits = num_splits});
}

std::string plan_text(const Plan& plan) {
  return plan.with_work([](const WorkPlan& work) {
    return "<seesaw_mla.Plan: " + work.kernel_name + ", " + std::to_string(work.problem.batch) +
           (work.problem.batch == 1 ? " request>" : " requests>");
  });
}

std::string explain_plan(const Plan& plan) {
  return plan.with_work([](const WorkPlan& work) { return explain(work); });
}

void bind_plan(nb::module_& module) {
  nb::class_<Plan>(module, "Plan",
                   "Which kernel serves a problem, and who computes what. Calls that are given a "
                   "workspace only read it; it keeps a workspace for those that are not, which "
                   "run in turn, from whatever threads.")
      .def_prop_ro("kernel_name",
                   [](const Plan& plan) {
                     return plan.with_work([](const WorkPlan& work) { return work.kernel_name; });
                   })
      .def_prop_ro(
          "problem", [](const Plan& plan) { return PlannedProblem{plan.problem}; },
          "The problem planned for. It cannot be changed; copies of it can.")
      .def_prop_ro(
          "kv_lengths",
          [](const Plan& plan) {
            return plan.with_work([](const WorkPlan& work) { return work.kv_lengths; });
          },
          "Keys of each request; empty where they lie on a device.")
      .def_prop_ro("workspace_bytes", &Plan::workspace_bytes,
                   "What a workspace must hold. On a CUDA device it is the same for all lengths.")
      .def("__repr__", &plan_text)
      .def("__str__", &explain_plan);
}

}  // namespace

void bind_planning(nb::module_& module) {
  bind_plan(module);
  module.def("plan", &make_plan, "problem"_a, "device"_a, "kv_lengths"_a.none(), nb::kw_only(),
             "q_lengths"_a.none() = nb::none(), "mode"_a = ScheduleMode::kThroughput,
             "num_splits"_a = nb::none(),
             "Divides the work of one call among the device's workers. No device is touched.\n\n"
             "kv_lengths: keys of each request, a list of ints or an int32 array [b] on the CPU; "
             "None for a top-k problem.\nq_lengths: query tokens of each request, prefill only.\n\n"
             "Raises InvalidArgumentError, and UnsupportedError with each kernel's reason.");
  module.def("plan_for_device_lengths", &make_device_plan, "problem"_a, "device"_a, nb::kw_only(),
             "mode"_a = ScheduleMode::kThroughput,
             "The same for lengths that lie on a CUDA device: prepare divides the work there.");
  module.def("replan", &replan_in_place, "plan"_a, "kv_lengths"_a.none(), nb::kw_only(),
             "q_lengths"_a.none() = nb::none(), "num_splits"_a = nb::none(),
             "Plans again for new lengths of the same problem, device and mode.");
  module.def("explain", &explain_plan, "plan"_a,
             "Which kernel serves the plan, what was passed over and why, and how work is "
             "divided.");
}

}  // namespace seesaw::python
