#include "system/c_api_boundary.h"

#include <algorithm>
#include <string>

namespace seesaw::c_api {
namespace {

/// A plain buffer: keeping a message must not allocate, and must work while a thread ends.
constexpr std::size_t kMessageBytes = 2048;
thread_local char last_message[kMessageBytes] = "";

}  // namespace

void copy_text(const char* from, char* to, std::size_t capacity) noexcept {
  const std::size_t length = std::min(std::strlen(from), capacity - 1);
  std::memcpy(to, from, length);
  to[length] = '\0';
}

seesaw_status report(StatusCode code, const char* message) noexcept {
  if (code == StatusCode::kOk) return SEESAW_OK;
  copy_text(message, last_message, kMessageBytes);
  if (std::strlen(message) >= kMessageBytes) {
    std::memcpy(last_message + kMessageBytes - 4, "...", 4);
  }
  return static_cast<seesaw_status>(code);
}

Status to_bool(std::int32_t number, const char* name, bool& value) {
  if (number != 0 && number != 1) return invalid("{}: is {}, must be 0 or 1", name, number);
  value = number == 1;
  return Status::ok();
}

Status check_reserved(std::int32_t number, const char* name) {
  return number == 0 ? Status::ok() : invalid("{}.reserved: is {}, must be 0", name, number);
}

Status to_problem(const seesaw_problem* from, AttentionProblem& to) {
  seesaw_problem c = from_problem(AttentionProblem{});
  Status status = read_struct(from, "problem", c);
  const auto then = [&status](Status next) {
    if (status.is_ok()) status = std::move(next);
  };
  bool has_scale = false;
  then(check_reserved(c.reserved, "problem"));
  then(to_enum(c.phase, Phase::kPrefill, "problem.phase", to.phase));
  then(to_enum(c.mask, Mask::kCausal, "problem.mask", to.mask));
  then(to_enum(c.sparsity, Sparsity::kTopK, "problem.sparsity", to.sparsity));
  then(to_enum(c.q_dtype, DType::kUInt8, "problem.q_dtype", to.q_dtype));
  then(to_enum(c.out_dtype, DType::kUInt8, "problem.out_dtype", to.out_dtype));
  then(to_enum(c.kv_format, KvFormat::kFp8V4, "problem.kv_format", to.kv_format));
  then(to_bool(c.has_softmax_scale, "problem.has_softmax_scale", has_scale));
  then(to_bool(c.has_attn_sink, "problem.has_attn_sink", to.has_attn_sink));
  to.batch = c.batch;
  to.s_q = c.s_q;
  to.h_q = c.h_q;
  to.h_kv = c.h_kv;
  to.d_qk = c.d_qk;
  to.d_v = c.d_v;
  to.page_size = c.page_size;
  to.top_k = c.top_k;
  to.softmax_scale = has_scale ? std::optional(c.softmax_scale) : std::nullopt;
  return status;
}

seesaw_problem from_problem(const AttentionProblem& from) {
  seesaw_problem to{};
  to.struct_size = sizeof to;
  to.phase = static_cast<std::int32_t>(from.phase);
  to.mask = static_cast<std::int32_t>(from.mask);
  to.sparsity = static_cast<std::int32_t>(from.sparsity);
  to.q_dtype = static_cast<std::int32_t>(from.q_dtype);
  to.out_dtype = static_cast<std::int32_t>(from.out_dtype);
  to.kv_format = static_cast<std::int32_t>(from.kv_format);
  to.batch = from.batch;
  to.s_q = from.s_q;
  to.h_q = from.h_q;
  to.h_kv = from.h_kv;
  to.d_qk = from.d_qk;
  to.d_v = from.d_v;
  to.page_size = from.page_size;
  to.top_k = from.top_k;
  to.has_softmax_scale = from.softmax_scale ? 1 : 0;
  to.softmax_scale = from.softmax_scale.value_or(0.0f);
  to.has_attn_sink = from.has_attn_sink ? 1 : 0;
  return to;
}

Status to_device(const seesaw_device* from, DeviceSpec& to) {
  seesaw_device c = from_device(DeviceSpec{});
  Status status = read_struct(from, "device", c);
  if (status.is_ok()) status = to_enum(c.kind, DeviceKind::kCuda, "device.kind", to.kind);
  if (status.is_ok()) {
    status = to_enum(c.cpu_isa, CpuIsa::kAvx512Bf16, "device.cpu_isa", to.cpu_isa);
  }
  if (!status.is_ok()) return status;
  to.num_workers = c.num_workers;
  to.cuda_ordinal = c.cuda_ordinal;
  to.sm_arch = c.sm_arch;
  to.shared_memory_bytes = c.shared_memory_bytes;
  to.l1_bytes = c.l1_bytes;
  to.l2_bytes = c.l2_bytes;
  to.l3_bytes = c.l3_bytes;
  to.memory_bytes = c.memory_bytes;
  to.name.assign(c.name, strnlen(c.name, sizeof c.name));
  return Status::ok();
}

seesaw_device from_device(const DeviceSpec& from) {
  seesaw_device to{};
  to.struct_size = sizeof to;
  to.kind = static_cast<std::int32_t>(from.kind);
  to.num_workers = from.num_workers;
  to.cpu_isa = static_cast<std::int32_t>(from.cpu_isa);
  to.cuda_ordinal = from.cuda_ordinal;
  to.sm_arch = from.sm_arch;
  to.shared_memory_bytes = from.shared_memory_bytes;
  to.l1_bytes = from.l1_bytes;
  to.l2_bytes = from.l2_bytes;
  to.l3_bytes = from.l3_bytes;
  to.memory_bytes = from.memory_bytes;
  copy_text(from.name.c_str(), to.name, sizeof to.name);
  return to;
}

Status to_view(const seesaw_tensor& from, const char* name, TensorView& to) {
  if (from.rank < 0 || from.rank > kMaxRank) {
    return invalid("{}.rank: is {}, must be in [0, {}]", name, from.rank, kMaxRank);
  }
  if (from.dtype < 0 || from.dtype > static_cast<std::int32_t>(DType::kUInt8)) {
    return invalid("{}.dtype: is {}, must be in [0, {}]", name, from.dtype,
                   static_cast<std::int32_t>(DType::kUInt8));
  }
  to.data = from.data;
  to.dtype = static_cast<DType>(from.dtype);
  to.rank = from.rank;
  std::copy_n(from.shape, kMaxRank, to.shape.begin());
  std::copy_n(from.stride, kMaxRank, to.stride.begin());
  return Status::ok();
}

Status to_view(const seesaw_tensor& from, const char* name, ConstTensorView& to) {
  TensorView view;
  Status status = to_view(from, name, view);
  to = view;
  return status;
}

}  // namespace seesaw::c_api

const char* seesaw_last_error_message(void) noexcept { return seesaw::c_api::last_message; }

const char* seesaw_status_name(seesaw_status status) noexcept {
  return seesaw::to_string(static_cast<seesaw::StatusCode>(status));
}

const char* seesaw_version(void) noexcept { return SEESAW_VERSION; }

seesaw_status seesaw_tensor_init(seesaw_tensor* tensor, const void* data, int32_t dtype,
                                 int32_t rank, const int64_t* shape,
                                 const int64_t* strides) noexcept {
  using namespace seesaw::c_api;
  return guarded([&]() -> seesaw::Status {
    seesaw::Status status = check_pointer(tensor, "tensor");
    if (status.is_ok() && rank != 0) status = check_pointer(shape, "shape");
    if (!status.is_ok()) return status;
    seesaw_tensor made{};
    made.data = const_cast<void*>(data);  // C has one view type; inputs are only read
    made.dtype = dtype;
    made.rank = rank;
    seesaw::TensorView checked;
    status = to_view(made, "tensor", checked);
    if (!status.is_ok()) return status;
    std::int64_t step = 1;
    for (std::int32_t i = rank - 1; i >= 0; --i) {
      made.shape[i] = shape[i];
      made.stride[i] = strides != nullptr ? strides[i] : step;
      if (strides == nullptr && __builtin_mul_overflow(step, shape[i], &step)) {
        return invalid("shape[{}]: is {}, must keep the number of elements within int64", i,
                       shape[i]);
      }
    }
    *tensor = made;
    return seesaw::Status::ok();
  });
}
