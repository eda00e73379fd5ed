// The C ABI of device, kernels, executor, plan and attention.
#include "seesaw/c_api.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "seesaw/attention.h"
#include "seesaw/device.h"
#include "seesaw/executor.h"
#include "seesaw/plan.h"
#include "seesaw/registry.h"
#include "system/c_api_boundary.h"

using seesaw::Result;
using seesaw::Status;
using namespace seesaw::c_api;

struct seesaw_executor {
  seesaw::Executor executor;
};

struct seesaw_plan {
  seesaw::WorkPlan plan;
};

seesaw::Executor* seesaw::c_api::executor_of(seesaw_executor* handle) noexcept {
  return handle == nullptr ? nullptr : &handle->executor;
}

// ---- Devices and kernels ----

seesaw_status seesaw_device_init(seesaw_device* device, size_t struct_size) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(device, "device"); !status.is_ok()) return status;
    if (struct_size < kFirstVersionBytes<seesaw_device>) {
      return invalid("struct_size: is {}, must be sizeof(seesaw_device) = {} or more", struct_size,
                     kFirstVersionBytes<seesaw_device>);
    }
    device->struct_size = struct_size;
    write_struct(from_device({}), device);
    return Status::ok();
  });
}

seesaw_status seesaw_probe_cpu(seesaw_device* device) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_struct(device, "device"); !status.is_ok()) return status;
    const Result<seesaw::DeviceSpec> spec = seesaw::probe_cpu();
    if (!spec) return spec.status();
    write_struct(from_device(spec.value()), device);
    return Status::ok();
  });
}

seesaw_status seesaw_probe_cuda_count(size_t* count) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(count, "count"); !status.is_ok()) return status;
    *count = seesaw::probe_cuda().size();
    return Status::ok();
  });
}

seesaw_status seesaw_probe_cuda(size_t device_idx, seesaw_device* device) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_struct(device, "device"); !status.is_ok()) return status;
    const auto specs = seesaw::probe_cuda();
    if (device_idx >= specs.size()) {
      return invalid("device_idx: is {}, must be in [0, {})", device_idx, specs.size());
    }
    write_struct(from_device(specs[device_idx]), device);
    return Status::ok();
  });
}

seesaw_status seesaw_kernel_count(size_t* count) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(count, "count"); !status.is_ok()) return status;
    *count = seesaw::list_kernels().size();
    return Status::ok();
  });
}

seesaw_status seesaw_kernel_at(size_t kernel_idx, seesaw_kernel_info* info) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_struct(info, "info"); !status.is_ok()) return status;
    const auto kernels = seesaw::list_kernels();
    if (kernel_idx >= kernels.size()) {
      return invalid("kernel_idx: is {}, must be in [0, {})", kernel_idx, kernels.size());
    }
    const seesaw::KernelInfo& kernel = kernels[kernel_idx];
    seesaw_kernel_info made{};
    copy_text(kernel.name.c_str(), made.name, sizeof made.name);
    made.device_kind = static_cast<int32_t>(kernel.device);
    made.cpu_isa = static_cast<int32_t>(kernel.cpu_isa);
    made.sm_arch = kernel.sm_arch;
    made.runs_on_newer = kernel.runs_on_newer ? 1 : 0;
    made.is_supported = kernel.is_supported ? 1 : 0;
    for (const seesaw::KernelFormats& formats : kernel.formats) {
      if (made.num_formats == SEESAW_MAX_KERNEL_FORMATS) break;
      made.q_dtypes[made.num_formats] = static_cast<int32_t>(formats.q_dtype);
      made.kv_formats[made.num_formats] = static_cast<int32_t>(formats.kv_format);
      ++made.num_formats;
    }
    write_struct(made, info);
    return Status::ok();
  });
}

// ---- Executor ----

seesaw_status seesaw_executor_create_cpu(int32_t num_threads, seesaw_executor** executor) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(executor, "executor"); !status.is_ok()) return status;
    auto made =
        std::make_unique<seesaw_executor>(seesaw_executor{seesaw::Executor::cpu(num_threads)});
    *executor = made.release();
    return Status::ok();
  });
}

seesaw_status seesaw_executor_create_cuda(int32_t ordinal, void* stream,
                                          seesaw_executor** executor) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(executor, "executor"); !status.is_ok()) return status;
    auto made =
        std::make_unique<seesaw_executor>(seesaw_executor{seesaw::Executor::cuda(ordinal, stream)});
    *executor = made.release();
    return Status::ok();
  });
}

seesaw_status seesaw_executor_destroy(seesaw_executor* executor) noexcept {
  delete executor;
  return SEESAW_OK;
}

seesaw_status seesaw_executor_num_threads(const seesaw_executor* executor,
                                          int32_t* num_threads) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({executor, num_threads}, "executor", "num_threads");
    if (status.is_ok()) *num_threads = executor->executor.num_threads();
    return status;
  });
}

// ---- Plan ----

seesaw_status seesaw_problem_init(seesaw_problem* problem, size_t struct_size) noexcept {
  return guarded([&]() -> Status {
    if (Status status = check_pointer(problem, "problem"); !status.is_ok()) return status;
    if (struct_size < kFirstVersionBytes<seesaw_problem>) {
      return invalid("struct_size: is {}, must be sizeof(seesaw_problem) = {} or more", struct_size,
                     kFirstVersionBytes<seesaw_problem>);
    }
    problem->struct_size = struct_size;
    write_struct(from_problem({}), problem);
    return Status::ok();
  });
}

namespace {

struct Lengths {
  std::span<const std::int32_t> kv, q;
};

Status to_lengths(const seesaw_lengths* from, Lengths& to) {
  seesaw_lengths c{};
  Status status = read_struct(from, "lengths", c);
  if (status.is_ok() && c.num_kv_lengths > 0) {
    status = check_pointer(c.kv_lengths, "lengths.kv_lengths");
  }
  if (status.is_ok() && c.num_q_lengths > 0) {
    status = check_pointer(c.q_lengths, "lengths.q_lengths");
  }
  if (!status.is_ok()) return status;
  to = {.kv = {c.kv_lengths, c.num_kv_lengths}, .q = {c.q_lengths, c.num_q_lengths}};
  return Status::ok();
}

Status to_options(const seesaw_plan_options* from, seesaw::PlanOptions& to) {
  if (from == nullptr) return Status::ok();
  seesaw_plan_options c{};
  Status status = read_struct(from, "options", c);
  if (status.is_ok()) {
    status = to_enum(c.mode, seesaw::ScheduleMode::kBatchInvariant, "options.mode", to.mode);
  }
  if (!status.is_ok()) return status;
  if (c.num_splits != 0) to.num_splits = c.num_splits;
  return Status::ok();
}

/// The caller's device, or this machine's CPU where none is given.
Result<seesaw::DeviceSpec> device_of(const seesaw_device* from) {
  if (from == nullptr) return seesaw::probe_cpu();
  seesaw::DeviceSpec device;
  if (Status status = to_device(from, device); !status.is_ok()) return status;
  return device;
}

}  // namespace

seesaw_status seesaw_plan_create(const seesaw_problem* problem, const seesaw_device* device,
                                 const seesaw_lengths* lengths, const seesaw_plan_options* options,
                                 seesaw_plan** plan) noexcept {
  return guarded([&]() -> Status {
    seesaw::AttentionProblem to_plan;
    Lengths spans;
    seesaw::PlanOptions plan_options;
    Status status = check_pointer(plan, "plan");
    if (status.is_ok()) status = to_problem(problem, to_plan);
    if (status.is_ok()) status = to_lengths(lengths, spans);
    if (status.is_ok()) status = to_options(options, plan_options);
    if (!status.is_ok()) return status;
    const Result<seesaw::DeviceSpec> spec = device_of(device);
    if (!spec) return spec.status();
    auto made = seesaw::plan(to_plan, spec.value(), spans.kv, spans.q, plan_options);
    if (!made) return made.status();
    *plan = std::make_unique<seesaw_plan>(seesaw_plan{std::move(made).value()}).release();
    return Status::ok();
  });
}

seesaw_status seesaw_plan_create_for_device_lengths(const seesaw_problem* problem,
                                                    const seesaw_device* device,
                                                    const seesaw_plan_options* options,
                                                    seesaw_plan** plan) noexcept {
  return guarded([&]() -> Status {
    seesaw::AttentionProblem to_plan;
    seesaw::DeviceSpec spec;
    seesaw::PlanOptions plan_options;
    Status status = check_pointer(plan, "plan");
    if (status.is_ok()) status = to_problem(problem, to_plan);
    if (status.is_ok()) status = to_device(device, spec);
    if (status.is_ok()) status = to_options(options, plan_options);
    if (!status.is_ok()) return status;
    auto made = seesaw::plan_for_device_lengths(to_plan, spec, plan_options);
    if (!made) return made.status();
    *plan = std::make_unique<seesaw_plan>(seesaw_plan{std::move(made).value()}).release();
    return Status::ok();
  });
}

seesaw_status seesaw_plan_destroy(seesaw_plan* plan) noexcept {
  delete plan;
  return SEESAW_OK;
}

seesaw_status seesaw_replan(seesaw_plan* plan, const seesaw_lengths* lengths,
                            const seesaw_plan_options* options) noexcept {
  return guarded([&]() -> Status {
    Lengths spans;
    seesaw::PlanOptions plan_options;
    Status status = check_pointer(plan, "plan");
    if (status.is_ok()) status = to_lengths(lengths, spans);
    if (status.is_ok()) status = to_options(options, plan_options);
    if (!status.is_ok()) return status;
    return seesaw::replan(plan->plan, spans.kv, spans.q, plan_options);
  });
}

seesaw_status seesaw_plan_workspace_bytes(const seesaw_plan* plan, size_t* num_bytes) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({plan, num_bytes}, "plan", "num_bytes");
    if (status.is_ok()) *num_bytes = plan->plan.workspace_bytes;
    return status;
  });
}

seesaw_status seesaw_plan_kernel_name(const seesaw_plan* plan, const char** name) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointers({plan, name}, "plan", "name");
    if (status.is_ok()) *name = plan->plan.kernel_name.c_str();
    return status;
  });
}

seesaw_status seesaw_plan_explain(const seesaw_plan* plan, char* buffer, size_t capacity,
                                  size_t* length) noexcept {
  return guarded([&]() -> Status {
    Status status = check_pointer(plan, "plan");
    if (status.is_ok() && capacity > 0) status = check_pointer(buffer, "buffer");
    if (!status.is_ok()) return status;
    const std::string text = seesaw::explain(plan->plan);
    if (capacity > 0) copy_text(text.c_str(), buffer, capacity);
    if (length != nullptr) *length = text.size();
    return Status::ok();
  });
}

// ---- Attention ----

namespace {

Status to_cache_args(const seesaw_cache_args& from, seesaw::CacheArgs& to) {
  Status status = to_view(from.kv_cache, "kv_cache", to.kv_cache);
  if (status.is_ok()) status = to_view(from.block_table, "block_table", to.block_table);
  if (status.is_ok()) status = to_view(from.indices, "indices", to.indices);
  if (status.is_ok()) status = to_view(from.top_k_lengths, "top_k_lengths", to.top_k_lengths);
  if (status.is_ok()) status = to_view(from.attn_sink, "attn_sink", to.attn_sink);
  return status;
}

/// What the arguments of decode and prefill have in common.
template <typename CArgs, typename Args>
Status to_args(const CArgs& from, Args& to, seesaw::DataCheck& check) {
  Status status = check_reserved(from.reserved, "args");
  if (status.is_ok()) {
    status = to_enum(from.data_check, seesaw::DataCheck::kVerify, "args.data_check", check);
  }
  if (status.is_ok()) status = to_view(from.q, "q", to.q);
  if (status.is_ok()) status = to_cache_args(from.cache, to.cache);
  if (status.is_ok()) status = to_view(from.out, "out", to.out);
  if (status.is_ok()) status = to_view(from.lse, "lse", to.lse);
  to.workspace = {static_cast<std::byte*>(from.workspace), from.workspace_bytes};
  return status;
}

}  // namespace

seesaw_status seesaw_prepare(const seesaw_plan* plan, const seesaw_tensor* kv_lengths,
                             void* workspace, size_t workspace_bytes,
                             seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw::ConstTensorView lengths;
    Status status = check_pointers({plan, executor}, "plan", "executor");
    if (status.is_ok() && kv_lengths != nullptr) {
      status = to_view(*kv_lengths, "kv_lengths", lengths);
    }
    if (!status.is_ok()) return status;
    return seesaw::prepare(plan->plan, lengths,
                           {static_cast<std::byte*>(workspace), workspace_bytes},
                           executor->executor);
  });
}

seesaw_status seesaw_decode(const seesaw_plan* plan, const seesaw_decode_args* args,
                            seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_decode_args c{};
    seesaw::DecodeArgs decode_args;
    auto check = seesaw::DataCheck::kTrust;
    Status status = check_pointers({plan, executor}, "plan", "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) status = to_args(c, decode_args, check);
    if (!status.is_ok()) return status;
    return seesaw::decode(plan->plan, decode_args, executor->executor, check);
  });
}

seesaw_status seesaw_prefill(const seesaw_plan* plan, const seesaw_prefill_args* args,
                             seesaw_executor* executor) noexcept {
  return guarded([&]() -> Status {
    seesaw_prefill_args c{};
    seesaw::PrefillArgs prefill_args;
    auto check = seesaw::DataCheck::kTrust;
    Status status = check_pointers({plan, executor}, "plan", "executor");
    if (status.is_ok()) status = read_struct(args, "args", c);
    if (status.is_ok()) status = to_args(c, prefill_args, check);
    if (status.is_ok()) status = to_view(c.max_logits, "max_logits", prefill_args.max_logits);
    if (!status.is_ok()) return status;
    return seesaw::prefill(plan->plan, prefill_args, executor->executor, check);
  });
}
