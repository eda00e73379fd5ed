// Problems, devices and executors: the nouns of the API as Python classes.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;

void bind_enums(nb::module_& module) {
  nb::enum_<DType>(module, "DType", "Element types.")
      .value("FLOAT32", DType::kFloat32)
      .value("BFLOAT16", DType::kBFloat16)
      .value("FLOAT16", DType::kFloat16)
      .value("FLOAT8_E4M3", DType::kFloat8E4M3)
      .value("INT32", DType::kInt32)
      .value("INT64", DType::kInt64)
      .value("UINT8", DType::kUInt8);
  nb::enum_<KvFormat>(module, "KvFormat", "How one token of the latent cache is stored.")
      .value("FLOAT32", KvFormat::kFloat32)
      .value("BFLOAT16", KvFormat::kBFloat16)
      .value("FLOAT16", KvFormat::kFloat16)
      .value("FP8_PER_TENSOR", KvFormat::kFp8PerTensor)
      .value("FP8_V32", KvFormat::kFp8V32)
      .value("FP8_PER_TOKEN", KvFormat::kFp8PerToken)
      .value("FP8_V4", KvFormat::kFp8V4);
  nb::enum_<Phase>(module, "Phase")
      .value("DECODE", Phase::kDecode, "Every request brings the same s_q query tokens.")
      .value("PREFILL", Phase::kPrefill,
             "Requests bring different numbers of query tokens, packed one after the other.");
  nb::enum_<Mask>(module, "Mask")
      .value("NONE", Mask::kNone, "Every query sees every key of its request.")
      .value("CAUSAL", Mask::kCausal, "Query i of s_q sees keys 0 .. s_k - s_q + i.");
  nb::enum_<Sparsity>(module, "Sparsity")
      .value("DENSE", Sparsity::kDense, "Keys through the block table.")
      .value("TOP_K", Sparsity::kTopK, "Each query token names the keys it sees by index.");
  nb::enum_<ScheduleMode>(module, "ScheduleMode")
      .value("THROUGHPUT", ScheduleMode::kThroughput, "Balanced, as few splits as that allows.")
      .value("LATENCY", ScheduleMode::kLatency, "Few requests: every worker has a share.")
      .value("BATCH_INVARIANT", ScheduleMode::kBatchInvariant,
             "A request's result is the same bits alone and in any batch.");
  nb::enum_<DeviceKind>(module, "DeviceKind")
      .value("CPU", DeviceKind::kCpu)
      .value("CUDA", DeviceKind::kCuda);
  nb::enum_<CpuIsa>(module, "CpuIsa", "CPU instruction sets, in rising order of preference.")
      .value("GENERIC", CpuIsa::kGeneric)
      .value("AVX2", CpuIsa::kAvx2)
      .value("AVX512", CpuIsa::kAvx512)
      .value("AVX512_BF16", CpuIsa::kAvx512Bf16);
}

/// Values by the names of fields.
using State = nb::typed<nb::dict, nb::str, nb::any>;
/// What pickle makes an object of: a class, the arguments of its constructor, a state.
using Reduced = nb::typed<nb::tuple, nb::any, nb::any, nb::any>;

State values_of(nb::handle object, const std::vector<const char*>& fields) {
  State state;
  for (const char* field : fields) state[field] = object.attr(field);
  return state;
}

/// A text, equality, copies and pickles of a class that is nothing but these fields.
template <typename Data>
void bind_as_data(nb::class_<Data>& type, std::vector<const char*> fields) {
  const auto state_of = [fields](nb::handle object) { return values_of(object, fields); };
  type.def("__repr__", [fields](nb::handle object) {
    std::string text = nb::cast<std::string>(nb::type<Data>().attr("__name__")) + "(";
    for (const char* field : fields) {
      const nb::object value = object.attr(field);
      const bool is_enum = nb::hasattr(value, "name");  // its repr cannot be read back
      text += std::string(text.ends_with('(') ? "" : ", ") + field + "=" +
              nb::cast<std::string>(is_enum ? nb::str(value) : nb::str(nb::repr(value)));
    }
    return text + ")";
  });
  type.def(
      "__eq__",
      [state_of](nb::handle self, nb::handle other) -> nb::object {
        if (!nb::isinstance<Data>(other)) return nb::borrow(Py_NotImplemented);
        return nb::bool_(state_of(self).equal(state_of(other)));
      },
      nb::arg("other").none(), nb::sig("def __eq__(self, other: object, /) -> bool"));
  type.attr("__hash__") = nb::none();  // fields may change; stub_patterns.txt says it to checkers
  type.def("__getstate__", [state_of](nb::handle self) { return state_of(self); });
  type.def("__setstate__", [fields](nb::handle self, const State& state) {
    new (nb::inst_ptr<Data>(self)) Data;
    nb::inst_mark_ready(self);
    for (const char* field : fields) nb::setattr(self, field, state[field]);
  });
}

void bind_planned_problem(nb::module_& module, std::vector<const char*> fields) {
  nb::class_<PlannedProblem, AttentionProblem>(
      module, "PlannedProblem",
      "The problem of a plan, which cannot be changed: its copies are problems that can.")
      .def(
          "__setattr__",
          [](nb::handle, const std::string& name, nb::handle) {
            throw nb::attribute_error(("plan.problem." + name +
                                       ": is read-only, must be set in a copy of plan.problem, "
                                       "for another plan")
                                          .c_str());
          },
          "name"_a, "value"_a.none())
      .def("__reduce__", [fields](nb::handle self) {
        return Reduced(nb::make_tuple(nb::type<AttentionProblem>(), nb::make_tuple(),
                                      values_of(self, fields)));
      });
}

/// The library holds it in float32, where a larger one would be infinite: named as it was given.
std::optional<float> narrowed_scale(std::optional<double> scale) {
  if (!scale) return std::nullopt;
  constexpr double kMost = std::numeric_limits<float>::max();
  const auto narrowed = static_cast<float>(*scale);
  if (std::isinf(narrowed) && !std::isinf(*scale)) {
    const auto text = [](double number) {
      return nb::cast<std::string>(nb::str(nb::float_(number)));
    };
    refuse("softmax_scale", text(*scale),
           "a float32 number, in [-" + text(kMost) + ", " + text(kMost) + "]");
  }
  return narrowed;
}

void bind_problem(nb::module_& module) {
  const AttentionProblem defaults;
  nb::class_<AttentionProblem> problem(
      module, "AttentionProblem",
      "What is asked: shapes, types and rules of one attention call, without an array or a "
      "length. Rows of q are [h_q, d_qk]; K of a token is [h_kv, d_qk], V its first d_v.");
  problem
      .def(
          "__init__",
          [](AttentionProblem* self, Phase phase, std::int64_t batch, std::int64_t s_q,
             std::int64_t h_q, std::int64_t h_kv, std::int64_t d_qk, std::int64_t d_v,
             std::int64_t page_size, DType q_dtype, DType out_dtype, KvFormat kv_format, Mask mask,
             Sparsity sparsity, std::int64_t top_k, std::optional<double> softmax_scale,
             bool has_attn_sink) {
            const std::optional<float> scale = narrowed_scale(softmax_scale);
            new (self) AttentionProblem{phase,    batch,     s_q,     h_q,          h_kv,      d_qk,
                                        d_v,      page_size, q_dtype, out_dtype,    kv_format, mask,
                                        sparsity, top_k,     scale,   has_attn_sink};
          },
          nb::kw_only(), "phase"_a = defaults.phase, "batch"_a = defaults.batch,
          "s_q"_a = defaults.s_q, "h_q"_a = defaults.h_q, "h_kv"_a = defaults.h_kv,
          "d_qk"_a = defaults.d_qk, "d_v"_a = defaults.d_v, "page_size"_a = defaults.page_size,
          "q_dtype"_a = defaults.q_dtype, "out_dtype"_a = defaults.out_dtype,
          "kv_format"_a = defaults.kv_format, "mask"_a = defaults.mask,
          "sparsity"_a = defaults.sparsity, "top_k"_a = defaults.top_k,
          "softmax_scale"_a = nb::none(), "has_attn_sink"_a = defaults.has_attn_sink)
      .def_rw("phase", &AttentionProblem::phase)
      .def_rw("batch", &AttentionProblem::batch, "Requests.")
      .def_rw("s_q", &AttentionProblem::s_q,
              "Decode: query tokens of a request; prefill: the longest request's.")
      .def_rw("h_q", &AttentionProblem::h_q, "Query heads.")
      .def_rw("h_kv", &AttentionProblem::h_kv, "KV heads; divides h_q.")
      .def_rw("d_qk", &AttentionProblem::d_qk, "Latent and rope dimensions.")
      .def_rw("d_v", &AttentionProblem::d_v, "Latent dimensions.")
      .def_rw("page_size", &AttentionProblem::page_size, "Tokens of a page.")
      .def_rw("q_dtype", &AttentionProblem::q_dtype)
      .def_rw("out_dtype", &AttentionProblem::out_dtype)
      .def_rw("kv_format", &AttentionProblem::kv_format)
      .def_rw("mask", &AttentionProblem::mask)
      .def_rw("sparsity", &AttentionProblem::sparsity)
      .def_rw("top_k", &AttentionProblem::top_k, "Columns of the index array; TOP_K only.")
      .def_prop_rw(
          "softmax_scale", [](const AttentionProblem& self) { return self.softmax_scale; },
          [](AttentionProblem& self, std::optional<double> scale) {
            self.softmax_scale = narrowed_scale(scale);
          },
          nb::arg().none(), "None: d_qk ** -0.5.")
      .def_rw("has_attn_sink", &AttentionProblem::has_attn_sink);
  const std::vector<const char*> fields = {
      "phase",    "batch",     "s_q",           "h_q",          "h_kv",      "d_qk",
      "d_v",      "page_size", "q_dtype",       "out_dtype",    "kv_format", "mask",
      "sparsity", "top_k",     "softmax_scale", "has_attn_sink"};
  bind_as_data(problem, fields);
  bind_planned_problem(module, fields);
}

void bind_device(nb::module_& module) {
  nb::class_<DeviceSpec> device(module, "DeviceSpec",
                                "Facts of a device that planning needs, as plain data: a plan may "
                                "be made for another machine.");
  device.def(nb::init<>())
      .def_rw("kind", &DeviceSpec::kind)
      .def_rw("name", &DeviceSpec::name)
      .def_rw("num_workers", &DeviceSpec::num_workers, "CPU threads or multiprocessors.")
      .def_rw("l1_bytes", &DeviceSpec::l1_bytes)
      .def_rw("l2_bytes", &DeviceSpec::l2_bytes)
      .def_rw("l3_bytes", &DeviceSpec::l3_bytes)
      .def_rw("memory_bytes", &DeviceSpec::memory_bytes)
      .def_rw("cpu_isa", &DeviceSpec::cpu_isa, "May be lowered to force a kernel.")
      .def_rw("cuda_ordinal", &DeviceSpec::cuda_ordinal)
      .def_rw("sm_arch", &DeviceSpec::sm_arch, "CUDA: 90 for Hopper.")
      .def_rw("shared_memory_bytes", &DeviceSpec::shared_memory_bytes);
  bind_as_data(device,
               {"kind", "name", "num_workers", "l1_bytes", "l2_bytes", "l3_bytes", "memory_bytes",
                "cpu_isa", "cuda_ordinal", "sm_arch", "shared_memory_bytes"});
  module.def(
      "probe_cpu", [] { return probe_cpu().value(); },
      "This machine's CPU. The environment variable SEESAW_CPU_ISA lowers its instruction set.");
  module.def("probe_cuda", &probe_cuda,
             "The CUDA devices the driver shows; none without a driver or a CUDA build.");
  module.def("is_built_with_cuda", &is_built_with_cuda,
             "Whether this build has the CUDA kernels, whatever devices there are.");
}

void bind_kernels(nb::module_& module) {
  nb::class_<KernelInfo>(module, "KernelInfo",
                         "A kernel. A problem is served by the first that takes it and needs no "
                         "more than the device has.")
      .def_ro("name", &KernelInfo::name, "As in Plan.kernel_name.")
      .def_ro("device", &KernelInfo::device)
      .def_ro("cpu_isa", &KernelInfo::cpu_isa, "What it needs of a CPU.")
      .def_ro("sm_arch", &KernelInfo::sm_arch, "CUDA: the architecture that it is made for.")
      .def_ro("runs_on_newer", &KernelInfo::runs_on_newer, "CUDA: and on every newer one.")
      .def_ro("is_supported", &KernelInfo::is_supported, "This machine and build can run it.")
      .def_prop_ro(
          "formats",
          [](const KernelInfo& info) {
            std::vector<std::pair<DType, KvFormat>> formats;
            for (const KernelFormats& pair : info.formats) {
              formats.emplace_back(pair.q_dtype, pair.kv_format);
            }
            return formats;
          },
          "The pairs of query type and cache format that it serves.");
  module.def("list_kernels", &list_kernels,
             "All kernels in order of preference, those that this machine cannot run included.");
}

void bind_executor(nb::module_& module) {
  nb::class_<OwnedExecutor>(
      module, "Executor",
      "Where calls run: a pool of CPU threads, or a stream of a CUDA device. "
      "Calls of one CPU executor run in turn, from whatever threads they come.")
      .def_static(
          "cpu", [](int num_threads) { return OwnedExecutor(Executor::cpu(num_threads)); },
          "num_threads"_a = 0,
          "num_threads threads, the caller's among them; 0 takes every core there is.")
      .def_static(
          "cuda",
          [](int ordinal, std::uintptr_t stream) {
            return OwnedExecutor(Executor::cuda(ordinal, reinterpret_cast<void*>(stream)));
          },
          "ordinal"_a = 0, "stream"_a = 0,
          "A device and a cudaStream_t of it, as an int; 0 is its default stream. No device is "
          "touched before a call: whether it is there shows then.")
      .def_prop_ro("kind", [](const OwnedExecutor& own) { return own.facts().kind(); })
      .def_prop_ro(
          "num_threads", [](const OwnedExecutor& own) { return own.facts().num_threads(); },
          "CPU threads; 0 of a CUDA executor.")
      .def_prop_ro(
          "cuda_ordinal", [](const OwnedExecutor& own) { return own.facts().cuda_ordinal(); },
          "-1 of a CPU executor.")
      .def_prop_ro(
          "cuda_stream",
          [](const OwnedExecutor& own) {
            return reinterpret_cast<std::uintptr_t>(own.facts().cuda_stream());
          },
          "The cudaStream_t as an int; 0 is the default stream, and what a CPU executor has.")
      .def(
          "synchronize",
          [](const OwnedExecutor& own) {
            const Executor& executor = own.facts();
            if (executor.kind() == DeviceKind::kCuda) throw_if_error(synchronize(executor));
          },
          nb::call_guard<WithoutInterpreter>(),
          "Waits for all that is enqueued on the stream; errors of its execution show here. Calls "
          "on the CPU are done when they return.");
}

}  // namespace

void bind_types(nb::module_& module) {
  bind_enums(module);
  bind_problem(module);
  bind_device(module);
  bind_kernels(module);
  bind_executor(module);
}

}  // namespace seesaw::python
