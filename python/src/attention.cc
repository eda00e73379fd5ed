// Plans and the verbs that compute. Arrays are imported and outputs made while the interpreter's
// lock is held; the library runs without it.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <new>
#include <optional>
#include <string>

#include "binding.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;
using MaybeSplits = std::optional<std::int32_t>;

/// Runs `call` without the interpreter's lock and with the plan's.
template <typename Call>
auto with_plan(Plan& plan, Call call) {
  const nb::gil_scoped_release without_interpreter;
  const std::lock_guard lock(plan.mutex);
  return call();
}

AttentionProblem problem_of(Plan& plan) {
  return with_plan(plan, [&] { return plan.work.problem; });
}

bool is_verified(std::optional<bool> verify, const Executor& executor) {
  return verify.value_or(executor.kind() == DeviceKind::kCpu);
}

/// `given`, or a fresh numpy array where calls run on the CPU. On a device there is no allocator
/// of the caller's to ask, so that None stays None.
nb::object given_or_new(nb::object given, std::vector<std::int64_t> shape, DType dtype,
                        nb::handle like, const Executor& executor) {
  if (!given.is_none() || executor.kind() == DeviceKind::kCuda) return given;
  return new_numpy_array(shape, dtype, like);
}

Plan* make_plan(const AttentionProblem& problem, const DeviceSpec& device, nb::handle kv_lengths,
                nb::handle q_lengths, ScheduleMode mode, MaybeSplits num_splits) {
  const auto keys = read_lengths("kv_lengths", kv_lengths);
  const auto queries = read_lengths("q_lengths", q_lengths);
  const nb::gil_scoped_release without_interpreter;
  return new Plan(plan(problem, device, keys, queries, {mode, num_splits}).value());
}

Plan* make_device_plan(const AttentionProblem& problem, const DeviceSpec& device,
                       ScheduleMode mode) {
  return new Plan(plan_for_device_lengths(problem, device, {mode, std::nullopt}).value());
}

void replan_in_place(Plan& plan, nb::handle kv_lengths, nb::handle q_lengths,
                     MaybeSplits num_splits) {
  const auto keys = read_lengths("kv_lengths", kv_lengths);
  const auto queries = read_lengths("q_lengths", q_lengths);
  with_plan(plan,
            [&] { throw_if_error(replan(plan.work, keys, queries, {.num_splits = num_splits})); });
}

void prepare_plan(Plan& plan, Executor& executor, nb::handle kv_lengths) {
  const Input lengths = optional_input("kv_lengths", kv_lengths, executor);
  with_plan(plan, [&] {
    throw_if_error(prepare(plan.work, lengths.view, plan.grow_workspace(executor), executor));
  });
}

/// The arrays behind CacheArgs.
struct CacheInputs {
  CacheInputs(nb::handle kv_cache_array, nb::handle block_table_array, nb::handle indices_array,
              nb::handle lengths_array, nb::handle sink_array, const Executor& executor)
      : kv_cache(input("kv_cache", kv_cache_array, executor)),
        block_table(optional_input("block_table", block_table_array, executor)),
        indices(optional_input("indices", indices_array, executor)),
        top_k_lengths(optional_input("top_k_lengths", lengths_array, executor)),
        attn_sink(optional_input("attn_sink", sink_array, executor)) {}

  CacheArgs args() const {
    return {kv_cache.view, block_table.view, indices.view, top_k_lengths.view, attn_sink.view};
  }

  Input kv_cache, block_table, indices, top_k_lengths, attn_sink;
};

using TwoArrays = nb::typed<nb::tuple, nb::any, nb::any>;
using ThreeArrays = nb::typed<nb::tuple, nb::any, nb::any, nb::any>;

TwoArrays run_decode(Plan& plan, nb::object q, nb::object kv_cache, nb::object block_table,
                     Executor& executor, nb::object indices, nb::object top_k_lengths,
                     nb::object attn_sink, nb::object out, nb::object lse,
                     std::optional<bool> verify) {
  const Input q_in = input("q", q, executor);
  const CacheInputs cache(kv_cache, block_table, indices, top_k_lengths, attn_sink, executor);
  const AttentionProblem p = problem_of(plan);
  out = given_or_new(out, {p.batch, p.s_q, p.h_q, p.d_v}, p.out_dtype, q, executor);
  lse = given_or_new(lse, {p.batch, p.h_q, p.s_q}, DType::kFloat32, q, executor);
  const Output out_array = output("out", out, executor);
  const Output lse_array = optional_output("lse", lse, executor);
  with_plan(plan, [&] {
    const DecodeArgs args{q_in.view, cache.args(), out_array.view, lse_array.view,
                          plan.ready_workspace(executor)};
    throw_if_error(decode(plan.work, args, executor,
                          is_verified(verify, executor) ? DataCheck::kVerify : DataCheck::kTrust));
  });
  return TwoArrays(nb::make_tuple(out, lse));
}

ThreeArrays run_prefill(Plan& plan, nb::object q, nb::object kv_cache, nb::object block_table,
                        Executor& executor, nb::object indices, nb::object top_k_lengths,
                        nb::object attn_sink, nb::object out, nb::object lse, nb::object max_logits,
                        std::optional<bool> verify) {
  const Input q_in = input("q", q, executor);
  const CacheInputs cache(kv_cache, block_table, indices, top_k_lengths, attn_sink, executor);
  const AttentionProblem p = problem_of(plan);
  const std::int64_t total_q = q_in.view.dim(0);
  out = given_or_new(out, {total_q, p.h_q, p.d_v}, p.out_dtype, q, executor);
  lse = given_or_new(lse, {total_q, p.h_q}, DType::kFloat32, q, executor);
  max_logits = given_or_new(max_logits, {total_q, p.h_q}, DType::kFloat32, q, executor);
  const Output out_array = output("out", out, executor);
  const Output lse_array = optional_output("lse", lse, executor);
  const Output logits_array = optional_output("max_logits", max_logits, executor);
  with_plan(plan, [&] {
    const PrefillArgs args{q_in.view,      cache.args(),      out_array.view,
                           lse_array.view, logits_array.view, plan.ready_workspace(executor)};
    throw_if_error(prefill(plan.work, args, executor,
                           is_verified(verify, executor) ? DataCheck::kVerify : DataCheck::kTrust));
  });
  return ThreeArrays(nb::make_tuple(out, lse, max_logits));
}

}  // namespace

void Plan::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

std::span<std::byte> Plan::grow_workspace(const Executor& executor) {
  if (executor.kind() == DeviceKind::kCuda) {
    const bool is_elsewhere = device_ordinal_ != executor.cuda_ordinal();
    if (is_elsewhere || device_memory_.bytes().size() < work.workspace_bytes) {
      device_memory_ = DeviceMemory();
      device_ordinal_ = -1;
      device_memory_ = DeviceMemory::allocate(work.workspace_bytes, executor).value();
      device_ordinal_ = executor.cuda_ordinal();
    }
    return device_memory_.bytes();
  }
  if (host_bytes_ < work.workspace_bytes) {
    host_memory_.reset();
    host_bytes_ = 0;
    const std::size_t num_bytes = (work.workspace_bytes + 63) / 64 * 64;
    host_memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, num_bytes)));
    if (host_memory_ == nullptr) throw std::bad_alloc();
    host_bytes_ = num_bytes;
  }
  return {host_memory_.get(), host_bytes_};
}

std::span<std::byte> Plan::ready_workspace(const Executor& executor) {
  if (executor.kind() == DeviceKind::kCpu) return grow_workspace(executor);
  if (device_ordinal_ != executor.cuda_ordinal() ||
      device_memory_.bytes().size() < work.workspace_bytes) {
    refuse("plan", "not prepared for this executor's device", "prepared");
  }
  return device_memory_.bytes();
}

void bind_attention(nb::module_& module) {
  nb::class_<Plan>(module, "Plan",
                   "Which kernel serves a problem, and who computes what. Keeps the workspace its "
                   "calls need, so that calls of one plan run in turn, from whatever threads.")
      .def_prop_ro(
          "kernel_name",
          [](Plan& plan) { return with_plan(plan, [&] { return plan.work.kernel_name; }); })
      .def_prop_ro("problem", &problem_of, "A copy of the problem planned for.")
      .def_prop_ro("kv_lengths",
                   [](Plan& plan) { return with_plan(plan, [&] { return plan.work.kv_lengths; }); })
      .def_prop_ro(
          "workspace_bytes",
          [](Plan& plan) { return with_plan(plan, [&] { return plan.work.workspace_bytes; }); })
      .def("__str__",
           [](Plan& plan) { return with_plan(plan, [&] { return explain(plan.work); }); });

  module.def("plan", &make_plan, "problem"_a, "device"_a, "kv_lengths"_a.none(), nb::kw_only(),
             "q_lengths"_a.none() = nb::none(), "mode"_a = ScheduleMode::kThroughput,
             "num_splits"_a = nb::none(),
             "Divides the work of one call among the device's workers. No device is touched.\n\n"
             "kv_lengths: keys of each request, a list of ints or an int32 array [b]; None for a "
             "top-k problem.\nq_lengths: query tokens of each request, prefill only.\n\n"
             "Raises InvalidArgumentError, and UnsupportedError with each kernel's reason.");
  module.def("plan_for_device_lengths", &make_device_plan, "problem"_a, "device"_a, nb::kw_only(),
             "mode"_a = ScheduleMode::kThroughput,
             "The same for lengths that lie on a CUDA device: prepare divides the work there.");
  module.def("replan", &replan_in_place, "plan"_a, "kv_lengths"_a.none(), nb::kw_only(),
             "q_lengths"_a.none() = nb::none(), "num_splits"_a = nb::none(),
             "Plans again for new lengths of the same problem, device and mode.");
  module.def(
      "explain", [](Plan& plan) { return with_plan(plan, [&] { return explain(plan.work); }); },
      "plan"_a,
      "Which kernel serves the plan, what was passed over and why, and how work is divided.");
  module.def("prepare", &prepare_plan, "plan"_a, "executor"_a, "kv_lengths"_a.none() = nb::none(),
             "Brings a CUDA plan into its workspace on the device: before the first decode and "
             "after each replan. kv_lengths: int32 [b] on the device, only for a plan for device "
             "lengths. Of a CPU plan nothing is needed.");
  module.def(
      "decode", &run_decode, "plan"_a, "q"_a.none(), "kv_cache"_a.none(),
      "block_table"_a.none() = nb::none(), nb::kw_only(), "executor"_a,
      "indices"_a.none() = nb::none(), "top_k_lengths"_a.none() = nb::none(),
      "attn_sink"_a.none() = nb::none(), "out"_a.none() = nb::none(), "lse"_a.none() = nb::none(),
      "verify"_a = nb::none(),
      "softmax(scale * Q K^T) V; returns (out, lse).\n\n"
      "q            [b, s_q, h_q, d_qk], unit last stride\n"
      "kv_cache     [num_pages, page_size, h_kv, d_qk], unit last stride\n"
      "block_table  int32 [b, max_pages]; dense problems\n"
      "indices      int32 [b, s_q, top_k]: page * page_size + offset, or -1; top-k problems\n"
      "top_k_lengths  int32 [b]: only so many leftmost columns count; top-k problems\n"
      "attn_sink    float32 [h_q], natural log; iff problem.has_attn_sink\n"
      "out          [b, s_q, h_q, d_v]; made by numpy where not given\n"
      "lse          float32 [b, h_q, s_q], natural log; made by numpy where not given\n"
      "verify       checks pages, indices and lengths before they are used. None: on the "
      "CPU yes, on a device no, as it would wait for the stream\n\n"
      "On a CUDA device out must be given; an lse not given is not computed. A query that "
      "sees no key gets out = 0 and lse = +infinity. Outputs must not overlap inputs.");
  module.def(
      "prefill", &run_prefill, "plan"_a, "q"_a.none(), "kv_cache"_a.none(),
      "block_table"_a.none() = nb::none(), nb::kw_only(), "executor"_a,
      "indices"_a.none() = nb::none(), "top_k_lengths"_a.none() = nb::none(),
      "attn_sink"_a.none() = nb::none(), "out"_a.none() = nb::none(), "lse"_a.none() = nb::none(),
      "max_logits"_a.none() = nb::none(), "verify"_a = nb::none(),
      "The same for a packed batch of chunks, on the CPU; returns (out, lse, max_logits).\n\n"
      "q           [total_q, h_q, d_qk]: requests' tokens one after the other\n"
      "indices     int32 [total_q, top_k]; top-k problems\n"
      "out         [total_q, h_q, d_v]\n"
      "lse         float32 [total_q, h_q]\n"
      "max_logits  float32 [total_q, h_q]: the largest scaled score");
}

}  // namespace seesaw::python
