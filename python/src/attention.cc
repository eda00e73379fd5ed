// The verbs that compute. Arrays are imported and outputs made while the interpreter's lock is
// held; the library runs without it.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "binding.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;

/// Memory of the plan's own for its calls on `device`, made as the arrays of `like` are, or by the
/// library where there is no such array. Large enough memory is kept.
void keep_device_workspace(Plan& plan, nb::handle like, const Executor& device) {
  Plan::DeviceWorkspace& kept = plan.device_workspace;
  const std::size_t num_bytes = plan.workspace_bytes();
  const int ordinal = device.cuda_ordinal();
  if (kept.ordinal == ordinal && kept.bytes.size() >= num_bytes) return;
  kept = {};
  if (like.is_none()) {
    auto memory = std::make_unique<DeviceMemory>(DeviceMemory::allocate(num_bytes, device).value());
    const std::span<std::byte> bytes = memory->bytes();
    nb::capsule owner(memory.get(),
                      [](void* pointer) noexcept { delete static_cast<DeviceMemory*>(pointer); });
    memory.release();
    kept = {std::move(owner), bytes, ordinal};
    return;
  }
  ResultArray made("workspace", nb::none(), like, {static_cast<std::int64_t>(num_bytes)},
                   DType::kUInt8, device);
  const Output array = output("workspace", made.memory(), device);
  kept = {nb::borrow(made.memory()), workspace_bytes(array), ordinal};
}

/// The workspace of a call: given, or the plan's own.
class CallWorkspace {
 public:
  CallWorkspace(Plan& plan, nb::object given, const Executor& executor)
      : plan_(plan), is_given_(!given.is_none()), owner_(std::move(given)) {
    if (is_given_) {
      array_ = output("workspace", owner_, executor);
      bytes_ = workspace_bytes(array_);
    } else if (executor.kind() == DeviceKind::kCuda) {
      const Plan::DeviceWorkspace& own = plan.device_workspace;
      if (own.ordinal != executor.cuda_ordinal()) {
        refuse("plan", "not prepared for this executor's device", "prepared");
      }
      owner_ = own.owner;  // another thread may prepare the plan for another device meanwhile
      bytes_ = own.bytes;
    }
  }

  /// Of memory that was given: nobody else has any other.
  Extent extent() const { return {"workspace", is_given_ ? bytes_ : std::span<const std::byte>()}; }

  /// Whoever keeps the memory; None for memory of the host that is the plan's.
  const nb::object& owner() const { return owner_; }
  const Output& array() const { return array_; }

  /// `call(work plan, workspace)`, without the interpreter's lock.
  template <typename Call>
  void run(Call call) {
    const auto checked = [&](const WorkPlan& work, std::span<std::byte> bytes) {
      throw_if_error(call(work, bytes));
    };
    if (is_given_) {
      plan_.with_work([&](const WorkPlan& work) { checked(work, bytes_); });
    } else {
      plan_.with_own_workspace(bytes_, checked);
    }
  }

 private:
  Plan& plan_;
  bool is_given_;
  nb::object owner_;
  Output array_;
  std::span<std::byte> bytes_;
};

void run_prepare(Plan& plan, nb::handle kv_lengths, OwnedExecutor* executor, nb::object workspace) {
  const nb::handle like = kv_lengths.is_none() ? workspace : kv_lengths;
  if (executor == nullptr && like.is_none()) {
    if (plan.device_kind() == DeviceKind::kCpu) return;  // nothing of it is needed
    refuse("executor", "None", "given where neither kv_lengths nor workspace says whose stream");
  }
  const Loans loans;
  CallExecutor runs(executor, kv_lengths.is_none() ? "workspace" : "kv_lengths", like);
  const Input lengths = optional_input("kv_lengths", kv_lengths, *runs);
  if (workspace.is_none() && runs->kind() == DeviceKind::kCuda) {
    keep_device_workspace(plan, like, *runs);
  }
  CallWorkspace memory(plan, std::move(workspace), *runs);
  loans.check(lengths, memory.array());
  check_apart({memory.extent()}, {{"kv_lengths", lengths.view}});
  memory.run([&](const WorkPlan& work, std::span<std::byte> bytes) {
    return prepare(work, lengths.view, bytes, *runs);
  });
  tell_enqueued(like, *runs, memory.owner());
}

/// The arrays behind CacheArgs.
struct CacheInputs {
  CacheInputs(nb::handle kv_cache_array, nb::handle block_table_array, nb::handle indices_array,
              nb::handle lengths_array, nb::handle sink_array, const Target& target)
      : kv_cache(input("kv_cache", kv_cache_array, target)),
        block_table(optional_input("block_table", block_table_array, target)),
        indices(optional_input("indices", indices_array, target)),
        top_k_lengths(optional_input("top_k_lengths", lengths_array, target)),
        attn_sink(optional_input("attn_sink", sink_array, target)) {}

  /// Of all inputs of a call, `query` among them.
  std::array<Extent, 6> extents(const ConstTensorView& query) const {
    return {Extent("q", query),
            Extent("kv_cache", kv_cache.view),
            Extent("block_table", block_table.view),
            Extent("indices", indices.view),
            Extent("top_k_lengths", top_k_lengths.view),
            Extent("attn_sink", attn_sink.view)};
  }

  CacheArgs args() const {
    return {kv_cache.view, block_table.view, indices.view, top_k_lengths.view, attn_sink.view};
  }

  Input kv_cache, block_table, indices, top_k_lengths, attn_sink;
};

/// An output's array and the library's view of it.
struct Result {
  Result(const char* name, nb::object given, nb::handle like,
         std::initializer_list<std::int64_t> shape, DType dtype, const Target& target)
      : array(name, std::move(given), like, shape, dtype, target),
        memory(output(name, array.memory(), target)) {}

  Extent extent(const char* name) const { return {name, memory.view}; }

  ResultArray array;
  Output memory;
};

DataCheck check_of(std::optional<bool> verify, const Executor& executor) {
  const bool is_verified = verify.value_or(executor.kind() == DeviceKind::kCpu);
  return is_verified ? DataCheck::kVerify : DataCheck::kTrust;
}

/// What decode and prefill have in common: where they run, their inputs and their workspace, taken
/// in this order.
struct AttentionCall {
  AttentionCall(Plan& plan, nb::handle q, nb::handle kv_cache, nb::handle block_table,
                OwnedExecutor* executor, nb::handle indices, nb::handle top_k_lengths,
                nb::handle attn_sink, nb::object workspace)
      : problem(plan.problem),
        q_array(q),
        runs(executor, "q", q),
        target(*runs),
        query(input("q", q, target)),
        cache(kv_cache, block_table, indices, top_k_lengths, attn_sink, target),
        memory(plan, std::move(workspace), *runs) {}

  /// An output, made by the query's framework where none is given.
  Result result(const char* name, nb::object given, std::initializer_list<std::int64_t> shape,
                DType dtype) const {
    return {name, std::move(given), q_array, shape, dtype, target};
  }

  /// Of all arguments, results among them; the last of the call that looks at an array's object.
  template <typename... Results>
  void check_loans(const Results&... results) const {
    loans.check(query, cache.kv_cache, cache.block_table, cache.indices, cache.top_k_lengths,
                cache.attn_sink, memory.array(), results.memory...);
  }

  /// `verb(work plan, workspace, executor, check)`, without the interpreter's lock.
  template <typename Verb>
  void run(std::optional<bool> verify, Verb verb) {
    memory.run([&](const WorkPlan& work, std::span<std::byte> bytes) {
      return verb(work, bytes, *runs, check_of(verify, *runs));
    });
  }

  const AttentionProblem& problem;
  const nb::handle q_array;
  const Loans loans;
  CallExecutor runs;
  const Target target;
  const Input query;
  const CacheInputs cache;
  CallWorkspace memory;
};

using TwoArrays = nb::typed<nb::tuple, nb::any, nb::any>;
using ThreeArrays = nb::typed<nb::tuple, nb::any, nb::any, nb::any>;

TwoArrays run_decode(Plan& plan, nb::handle q, nb::handle kv_cache, nb::handle block_table,
                     OwnedExecutor* executor, nb::handle indices, nb::handle top_k_lengths,
                     nb::handle attn_sink, nb::object out, nb::object lse, nb::object workspace,
                     std::optional<bool> verify) {
  AttentionCall call(plan, q, kv_cache, block_table, executor, indices, top_k_lengths, attn_sink,
                     std::move(workspace));
  const AttentionProblem& p = call.problem;
  Result result = call.result("out", std::move(out), {p.batch, p.s_q, p.h_q, p.d_v}, p.out_dtype);
  Result sums = call.result("lse", std::move(lse), {p.batch, p.h_q, p.s_q}, DType::kFloat32);
  call.check_loans(result, sums);
  check_apart({call.memory.extent(), result.extent("out"), sums.extent("lse")},
              call.cache.extents(call.query.view));
  call.run(verify,
           [&](const WorkPlan& work, std::span<std::byte> bytes, Executor& runs, DataCheck check) {
             const DecodeArgs args{call.query.view, call.cache.args(), result.memory.view,
                                   sums.memory.view, bytes};
             return decode(work, args, runs, check);
           });
  tell_enqueued(q, call.target, kv_cache, block_table, attn_sink, call.memory.owner(),
                result.array.memory(), sums.array.memory());
  return TwoArrays(nb::make_tuple(result.array.take(), sums.array.take()));
}

ThreeArrays run_prefill(Plan& plan, nb::handle q, nb::handle kv_cache, nb::handle block_table,
                        OwnedExecutor* executor, nb::handle indices, nb::handle top_k_lengths,
                        nb::handle attn_sink, nb::object out, nb::object lse, nb::object max_logits,
                        nb::object workspace, std::optional<bool> verify) {
  AttentionCall call(plan, q, kv_cache, block_table, executor, indices, top_k_lengths, attn_sink,
                     std::move(workspace));
  const AttentionProblem& p = call.problem;
  // The library refuses a negative one, and q with it.
  const std::int64_t total_q = std::max<std::int64_t>(call.query.view.dim(0), 0);
  Result result = call.result("out", std::move(out), {total_q, p.h_q, p.d_v}, p.out_dtype);
  Result sums = call.result("lse", std::move(lse), {total_q, p.h_q}, DType::kFloat32);
  Result maxima =
      call.result("max_logits", std::move(max_logits), {total_q, p.h_q}, DType::kFloat32);
  call.check_loans(result, sums, maxima);
  check_apart(
      {call.memory.extent(), result.extent("out"), sums.extent("lse"), maxima.extent("max_logits")},
      call.cache.extents(call.query.view));
  call.run(verify,
           [&](const WorkPlan& work, std::span<std::byte> bytes, Executor& runs, DataCheck check) {
             const PrefillArgs args{call.query.view,  call.cache.args(),  result.memory.view,
                                    sums.memory.view, maxima.memory.view, bytes};
             return prefill(work, args, runs, check);
           });
  return ThreeArrays(nb::make_tuple(result.array.take(), sums.array.take(), maxima.array.take()));
}

}  // namespace

void bind_attention(nb::module_& module) {
  module.def("prepare", &run_prepare, "plan"_a, "kv_lengths"_a.none() = nb::none(), nb::kw_only(),
             "executor"_a.none() = nb::none(), "workspace"_a.none() = nb::none(),
             "Brings a CUDA plan into its workspace on the device: before the first decode and "
             "after each replan. Only enqueues, and may be captured into a graph. Of a CPU plan "
             "nothing is needed, and nothing happens.\n\n"
             "kv_lengths  int32 [b] on the device; for a plan for device lengths, and only there\n"
             "executor    None: the device of kv_lengths (or else of workspace) and the current "
             "stream of its framework\n"
             "workspace   uint8 [plan.workspace_bytes or more], aligned to 64 bytes. None: made by "
             "the framework of kv_lengths, or without them by the library, and kept by the plan");
  module.def(
      "decode", &run_decode, "plan"_a, "q"_a.none(), "kv_cache"_a.none(),
      "block_table"_a.none() = nb::none(), nb::kw_only(), "executor"_a.none() = nb::none(),
      "indices"_a.none() = nb::none(), "top_k_lengths"_a.none() = nb::none(),
      "attn_sink"_a.none() = nb::none(), "out"_a.none() = nb::none(), "lse"_a.none() = nb::none(),
      "workspace"_a.none() = nb::none(), "verify"_a = nb::none(),
      "softmax(scale * Q K^T) V; returns (out, lse).\n\n"
      "q            [b, s_q, h_q, d_qk], unit last stride\n"
      "kv_cache     [num_pages, page_size, h_kv, d_qk], unit last stride\n"
      "block_table  int32 [b, max_pages]; dense problems\n"
      "executor     None: for arrays on the CPU one that all such calls share; on a CUDA device "
      "the current stream of q's framework\n"
      "indices      int32 [b, s_q, top_k]: page * page_size + offset, or -1; top-k problems\n"
      "top_k_lengths  int32 [b]: only so many leftmost columns count; top-k problems\n"
      "attn_sink    float32 [h_q], natural log; iff problem.has_attn_sink\n"
      "out          [b, s_q, h_q, d_v]; None: made by q's framework\n"
      "lse          float32 [b, h_q, s_q], natural log; None: made by q's framework\n"
      "workspace    uint8 [plan.workspace_bytes or more], aligned to 64 bytes, on a device "
      "prepared; None: the plan's own\n"
      "verify       checks pages, indices and lengths before they are used. None: on the "
      "CPU yes, on a device no, as it would wait for the stream\n\n"
      "On a CUDA device the call only enqueues, and may be captured into a graph. A query that "
      "sees no key gets out = 0 and lse = +infinity. Outputs must not overlap inputs.");
  module.def(
      "prefill", &run_prefill, "plan"_a, "q"_a.none(), "kv_cache"_a.none(),
      "block_table"_a.none() = nb::none(), nb::kw_only(), "executor"_a.none() = nb::none(),
      "indices"_a.none() = nb::none(), "top_k_lengths"_a.none() = nb::none(),
      "attn_sink"_a.none() = nb::none(), "out"_a.none() = nb::none(), "lse"_a.none() = nb::none(),
      "max_logits"_a.none() = nb::none(), "workspace"_a.none() = nb::none(),
      "verify"_a = nb::none(),
      "The same for a packed batch of chunks, on the CPU; returns (out, lse, max_logits).\n\n"
      "q           [total_q, h_q, d_qk]: requests' tokens one after the other\n"
      "indices     int32 [total_q, top_k]; top-k problems\n"
      "out         [total_q, h_q, d_v]\n"
      "lse         float32 [total_q, h_q]\n"
      "max_logits  float32 [total_q, h_q]: the largest scaled score");
}

}  // namespace seesaw::python
