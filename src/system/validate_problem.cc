#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "system/validate.h"

namespace seesaw {
namespace {

constexpr std::int64_t kMostInt32 = std::numeric_limits<std::int32_t>::max();

Status check_range(const char* field, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return Status::ok();
  if (value < least && most == kMostInt32) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.{}: is {}, must be >= {}", field, value, least)};
  }
  return {StatusCode::kInvalidArgument,
          fmt::format("problem.{}: is {}, must be in [{}, {}]", field, value, least, most)};
}

/// An enum that came from elsewhere (another language, a file) may hold any number.
template <typename Enum>
Status check_enum(const char* field, Enum value, Enum last) {
  if (value <= last) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("{}: is {}, must be in [0, {}]", field, static_cast<int>(value),
                      static_cast<int>(last))};
}

Status check_float_type(const char* field, DType dtype) {
  if (is_attention_float(dtype)) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("problem.{}: is {}, must be float32, bfloat16 or float16", field,
                      to_string(dtype))};
}

Status check_sizes(const AttentionProblem& problem) {
  const struct {
    const char* field;
    std::int64_t value, least, most;
  } rules[] = {
      {"batch", problem.batch, 0, kMostInt32},
      {"s_q", problem.s_q, 0, kMostInt32},
      {"h_q", problem.h_q, 1, kMostInt32},
      {"h_kv", problem.h_kv, 1, kMostInt32},
      {"d_qk", problem.d_qk, 1, kMaxHeadDim},
      {"d_v", problem.d_v, 1, kMaxHeadDim},
      {"page_size", problem.page_size, 1, kMostInt32},
  };
  for (const auto& rule : rules) {
    Status status = check_range(rule.field, rule.value, rule.least, rule.most);
    if (!status.is_ok()) return status;
  }
  if (problem.d_v > problem.d_qk) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.d_v: is {}, must be <= d_qk = {}", problem.d_v, problem.d_qk)};
  }
  if (problem.h_q % problem.h_kv != 0) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.h_q: is {}, must be a multiple of h_kv = {}", problem.h_q,
                        problem.h_kv)};
  }
  return Status::ok();
}

Status check_types(const AttentionProblem& problem) {
  Status status = check_enum("problem.phase", problem.phase, Phase::kPrefill);
  if (status.is_ok()) status = check_enum("problem.mask", problem.mask, Mask::kCausal);
  if (status.is_ok()) status = check_enum("problem.sparsity", problem.sparsity, Sparsity::kTopK);
  if (status.is_ok()) status = check_enum("problem.kv_format", problem.kv_format, KvFormat::kFp8V4);
  if (status.is_ok()) status = check_float_type("q_dtype", problem.q_dtype);
  if (status.is_ok()) status = check_float_type("out_dtype", problem.out_dtype);
  if (!status.is_ok()) return status;
  if (!plain_dtype(problem.kv_format)) {
    return {StatusCode::kUnsupported,
            fmt::format("problem.kv_format: is {}, must be float32, bfloat16 or float16: this "
                        "version has no kernel for quantized caches",
                        to_string(problem.kv_format))};
  }
  return Status::ok();
}

Status check_sparsity(const AttentionProblem& problem) {
  if (problem.sparsity == Sparsity::kDense) {
    if (problem.top_k == 0) return Status::ok();
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.top_k: is {}, must be 0 where sparsity is dense", problem.top_k)};
  }
  if (problem.mask != Mask::kNone) {
    return {StatusCode::kInvalidArgument,
            "problem.mask: is causal, must be none where sparsity is top-k: the indices say which "
            "keys a query sees"};
  }
  return check_range("top_k", problem.top_k, 1, kMostInt32);
}

/// Kernels hold scores in log2 units, and so the scale times log2(e), in float32.
Status check_scale(float scale) {
  if (!std::isfinite(scale)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.softmax_scale: is {}, must be finite", scale)};
  }
  constexpr double kMost = std::numeric_limits<float>::max() / std::numbers::log2e;
  if (std::abs(double{scale}) <= kMost) return Status::ok();
  return {
      StatusCode::kInvalidArgument,
      fmt::format("problem.softmax_scale: is {}, must be in [-{:.6g}, {:.6g}]: its product with "
                  "log2(e) must be a finite float32",
                  scale, kMost, kMost)};
}

/// Rows of a (request, KV head) are numbered in int32; elements of q are counted in int64, and so
/// are those of the index array.
Status check_products(const AttentionProblem& problem) {
  const std::int64_t rows = problem.s_q * problem.group_size();  // each below 2^31
  if (rows > kMostInt32) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.s_q: is {}, must be <= {} so that s_q * h_q / h_kv fits an int32",
                        problem.s_q, kMostInt32 / problem.group_size())};
  }
  constexpr std::int64_t kElementBytes = 8;
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(problem.batch * problem.s_q, problem.h_q, &bytes) ||
      __builtin_mul_overflow(bytes, problem.d_qk * kElementBytes, &bytes)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.batch: is {}, must leave the bytes of q [{}, {}, {}, {}] within "
                        "int64",
                        problem.batch, problem.batch, problem.s_q, problem.h_q, problem.d_qk)};
  }
  if (__builtin_mul_overflow(problem.batch * problem.s_q, problem.top_k * kElementBytes, &bytes)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("problem.top_k: is {}, must leave the bytes of indices [{}, {}, {}] within "
                        "int64",
                        problem.top_k, problem.batch, problem.s_q, problem.top_k)};
  }
  return Status::ok();
}

}  // namespace

Status validate_problem(const AttentionProblem& problem) {
  if (Status status = check_types(problem); !status.is_ok()) return status;
  if (Status status = check_sizes(problem); !status.is_ok()) return status;
  if (Status status = check_sparsity(problem); !status.is_ok()) return status;
  if (Status status = check_scale(problem.scale()); !status.is_ok()) return status;
  return check_products(problem);
}

Status validate_device(const DeviceSpec& device) {
  Status status = check_enum("device.kind", device.kind, DeviceKind::kCuda);
  if (status.is_ok()) status = check_enum("device.cpu_isa", device.cpu_isa, CpuIsa::kAvx512Bf16);
  if (!status.is_ok()) return status;
  if (device.num_workers < 1) {
    return {StatusCode::kInvalidArgument,
            fmt::format("device.num_workers: is {}, must be >= 1", device.num_workers)};
  }
  return Status::ok();
}

Status validate_options(const PlanOptions& options) {
  Status status = check_enum("options.mode", options.mode, ScheduleMode::kBatchInvariant);
  if (!status.is_ok()) return status;
  if (options.num_splits && *options.num_splits < 1) {
    return {StatusCode::kInvalidArgument,
            fmt::format("options.num_splits: is {}, must be >= 1", *options.num_splits)};
  }
  return Status::ok();
}

namespace {

Status check_count(const char* name, std::size_t actual, const char* term, std::int64_t expected) {
  if (static_cast<std::int64_t>(actual) == expected) return Status::ok();
  return {StatusCode::kInvalidArgument,
          fmt::format("{}.size(): is {}, must be {} = {}", name, actual, term, expected)};
}

Status check_q_lengths(const AttentionProblem& problem, std::span<const std::int32_t> q_lengths) {
  if (problem.phase == Phase::kDecode) {
    if (q_lengths.empty()) return Status::ok();
    return {StatusCode::kInvalidArgument,
            fmt::format("q_lengths.size(): is {}, must be 0 for decode: every request brings s_q "
                        "tokens",
                        q_lengths.size())};
  }
  Status status = check_count("q_lengths", q_lengths.size(), "b", problem.batch);
  if (!status.is_ok()) return status;
  for (std::size_t i = 0; i < q_lengths.size(); ++i) {
    if (q_lengths[i] < 0 || q_lengths[i] > problem.s_q) {
      return {StatusCode::kInvalidArgument,
              fmt::format("q_lengths[{}]: is {}, must be in [0, s_q = {}]", i, q_lengths[i],
                          problem.s_q)};
    }
  }
  return Status::ok();
}

}  // namespace

Status validate_lengths(const AttentionProblem& problem, std::span<const std::int32_t> kv_lengths,
                        std::span<const std::int32_t> q_lengths) {
  Status status = check_q_lengths(problem, q_lengths);
  if (!status.is_ok() || problem.sparsity == Sparsity::kTopK) return status;
  status = check_count("kv_lengths", kv_lengths.size(), "b", problem.batch);
  if (!status.is_ok()) return status;
  for (std::size_t i = 0; i < kv_lengths.size(); ++i) {
    if (kv_lengths[i] < 0) {
      return {StatusCode::kInvalidArgument,
              fmt::format("kv_lengths[{}]: is {}, must be >= 0", i, kv_lengths[i])};
    }
  }
  return Status::ok();
}

}  // namespace seesaw
