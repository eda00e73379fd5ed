// `seesaw bench decode`: one shape's speed through the public API.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/decode_workload.h"
#include "cli/device_workload.h"
#include "cli/interrupt.h"
#include "cli/standard_output.h"
#include "report/progress.h"
#include "report/samples.h"
#include "report/units.h"
#include "seesaw/attention.h"
#include "seesaw/device.h"
#include "seesaw/executor.h"
#include "seesaw/plan.h"
#include "seesaw/version.h"

namespace seesaw::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Status invalid(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }

Result<DeviceSpec> choose_cpu(const BenchDecodeArgs& args, int num_threads) {
  auto device = probe_cpu();
  if (!device) return device;
  device.value().num_workers = num_threads;
  if (args.isa && *args.isa > device.value().cpu_isa) {
    return invalid(
        fmt::format("--isa: is {}, must be at most {}, which this CPU and "
                    "SEESAW_CPU_ISA allow",
                    to_string(*args.isa), to_string(device.value().cpu_isa)));
  }
  if (args.isa) device.value().cpu_isa = *args.isa;
  return device;
}

/// The first CUDA device.
Result<DeviceSpec> choose_cuda(const BenchDecodeArgs& args) {
  if (args.isa) return invalid("--isa: chooses a CPU kernel, must not be given with --device cuda");
  if (args.num_threads != 0) {
    return invalid("--threads: are the CPU's, must not be given with --device cuda");
  }
  if (!is_built_with_cuda()) {
    return Status(StatusCode::kUnsupported,
                  "--device: is cuda, but this build has no CUDA kernels; must be cpu");
  }
  const std::vector<DeviceSpec> devices = probe_cuda();
  if (devices.empty()) {
    return Status(StatusCode::kUnsupported,
                  "--device: is cuda, but the driver shows no CUDA device; must be cpu");
  }
  return devices.front();
}

Result<AttentionProblem> make_problem(const BenchDecodeArgs& args) {
  if (args.h_q % args.h_kv != 0) {
    return invalid(fmt::format("--kv-heads: is {}, must divide --heads = {}", args.h_kv, args.h_q));
  }
  if (args.d_v > args.d_qk) {
    return invalid(fmt::format("--d-v: is {}, must be <= --d-qk = {}", args.d_v, args.d_qk));
  }
  const DType dtype = plain_dtype(args.kv_format).value();
  return AttentionProblem{.phase = Phase::kDecode,
                          .batch = args.batch,
                          .s_q = args.s_q,
                          .h_q = args.h_q,
                          .h_kv = args.h_kv,
                          .d_qk = args.d_qk,
                          .d_v = args.d_v,
                          .page_size = args.page_size,
                          .q_dtype = dtype,
                          .out_dtype = dtype,
                          .kv_format = args.kv_format};
}

/// Seconds of each timed call; the first calls, which start threads and touch outputs, are not
/// among them. Empty where it was interrupted. time_call(call_idx) makes a call and says how long
/// it took; errors: its own.
template <typename TimeCall>
Result<std::vector<double>> time_calls(const TimeCall& time_call, std::int64_t num_repetitions) {
  constexpr std::int64_t kWarmUp = 2;
  constexpr std::int64_t kLeast = 5;
  constexpr std::int64_t kMost = 1000;
  constexpr double kEnoughSeconds = 1.0;
  report::Progress progress("measuring", num_repetitions);
  std::vector<double> seconds;
  double total = 0.0;
  const auto is_enough = [&] {
    const auto count = static_cast<std::int64_t>(seconds.size());
    if (num_repetitions > 0) return count >= num_repetitions;
    return count >= kMost || (count >= kLeast && total >= kEnoughSeconds);
  };
  for (std::int64_t call_idx = 0; !is_enough(); ++call_idx) {
    const Result<double> elapsed = time_call(call_idx);
    if (!elapsed) return elapsed.status();
    if (is_interrupted()) return std::vector<double>();
    if (call_idx < kWarmUp) continue;
    seconds.push_back(elapsed.value());
    total += elapsed.value();
    const auto count = static_cast<std::int64_t>(seconds.size());
    if (num_repetitions > 0) {
      progress.update(count);
    } else {  // whichever end is nearer
      const double share =
          std::max(static_cast<double>(count) / kMost,
                   std::min(total / kEnoughSeconds, static_cast<double>(count) / kLeast));
      progress.update(static_cast<std::int64_t>(share * 1000.0), 1000);
    }
  }
  return seconds;
}

struct BenchResult {
  WorkPlan plan;
  WorkloadSize size;
  report::Summary seconds;
  double plan_seconds = 0.0;
  double num_operations = 0.0;  // multiplications and additions
  double num_bytes = 0.0;       // cache, query and output, each once

  double gflops() const { return num_operations / seconds.median * 1e-9; }
  double gbytes_per_second() const { return num_bytes / seconds.median * 1e-9; }
};

void count_work(const BenchDecodeArgs& args, BenchResult& result) {
  const auto batch = static_cast<double>(args.batch);
  const double rows = batch * static_cast<double>(args.s_q * args.h_q);
  const auto keys = static_cast<double>(args.kv_length);
  const auto widths = static_cast<double>(args.d_qk + args.d_v);
  const auto element_bytes = static_cast<double>(size_bytes(plain_dtype(args.kv_format).value()));
  result.num_operations = 2.0 * rows * keys * widths;
  result.num_bytes =
      (batch * keys * static_cast<double>(args.h_kv * args.d_qk) + rows * widths) * element_bytes;
}

std::string result_text(const BenchResult& result) {
  const report::Summary& seconds = result.seconds;
  return fmt::format(
      "{}\n"
      "time       {} us: median of {} calls, least {}, most {}\n"
      "           {} GFLOP/s, {} GB/s\n"
      "           planning took {}, once; the pool of pages is {}\n",
      explain(result.plan), report::three_digits(seconds.median * 1e6), seconds.count,
      report::three_digits(seconds.least * 1e6), report::three_digits(seconds.most * 1e6),
      report::three_digits(result.gflops()), report::three_digits(result.gbytes_per_second()),
      report::seconds_text(result.plan_seconds), report::bytes_text(result.size.pool_bytes));
}

nlohmann::ordered_json device_json(const DeviceSpec& device) {
  if (device.kind == DeviceKind::kCuda) {
    return {{"kind", "cuda"},
            {"name", device.name},
            {"sm_arch", device.sm_arch},
            {"multiprocessors", device.num_workers}};
  }
  return {{"kind", "cpu"},
          {"name", device.name},
          {"isa", to_string(device.cpu_isa)},
          {"threads", device.num_workers}};
}

std::string result_json(const BenchDecodeArgs& args, const BenchResult& result) {
  const WorkPlan& plan = result.plan;
  nlohmann::ordered_json json;
  json["version"] = SEESAW_VERSION;
  json["benchmark"] = "decode";
  json["problem"] = {{"batch", args.batch},
                     {"q_len", args.s_q},
                     {"heads", args.h_q},
                     {"kv_heads", args.h_kv},
                     {"kv_len", args.kv_length},
                     {"d_qk", args.d_qk},
                     {"d_v", args.d_v},
                     {"page_size", args.page_size},
                     {"kv_dtype", to_string(args.kv_format)}};
  json["device"] = device_json(plan.device);
  json["mode"] = to_string(plan.mode);
  json["kernel"] = plan.kernel_name;
  json["seed"] = args.seed;
  json["pool_bytes"] = result.size.pool_bytes;
  json["repetitions"] = result.seconds.count;
  json["median_us"] = result.seconds.median * 1e6;
  json["least_us"] = result.seconds.least * 1e6;
  json["most_us"] = result.seconds.most * 1e6;
  json["gflops"] = result.gflops();
  json["gbytes_per_second"] = result.gbytes_per_second();
  json["plan_us"] = result.plan_seconds * 1e6;
  json["plan"] = explain(plan);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// Random data for a plan; empty where it was interrupted.
std::optional<DecodeWorkload> make_workload(const BenchDecodeArgs& args,
                                            const BenchResult& result) {
  report::Progress filling("filling " + report::bytes_text(result.size.pool_bytes));
  DecodeWorkload workload(result.plan, result.size, static_cast<std::uint64_t>(args.seed));
  filling.finish();
  if (is_interrupted()) return std::nullopt;
  return workload;
}

std::vector<std::int32_t> equal_lengths(const BenchDecodeArgs& args) {
  return std::vector<std::int32_t>(static_cast<std::size_t>(args.batch),
                                   static_cast<std::int32_t>(args.kv_length));
}

/// A result without samples where it was interrupted; here and below.
Result<BenchResult> measure_cpu(const BenchDecodeArgs& args, const AttentionProblem& problem) {
  Executor executor = Executor::cpu(static_cast<int>(args.num_threads));
  const auto device = choose_cpu(args, executor.num_threads());
  if (!device) return device.status();
  const auto size = WorkloadSize::of(problem, args.kv_length, device.value());
  if (!size) return size.status();

  const std::vector<std::int32_t> lengths = equal_lengths(args);
  const auto start = Clock::now();
  auto planned = plan(problem, device.value(), lengths, {}, {.mode = args.mode});
  const double plan_seconds = seconds_since(start);
  if (!planned) return planned.status();
  BenchResult result{.plan = std::move(planned).value(),
                     .size = size.value(),
                     .seconds = {},
                     .plan_seconds = plan_seconds};
  count_work(args, result);
  auto workload = make_workload(args, result);
  if (!workload) return result;
  const auto time_call = [&](std::int64_t call_idx) -> Result<double> {
    const DecodeArgs call = workload->call(call_idx);
    const auto begin = Clock::now();
    if (Status status = decode(result.plan, call, executor); !status) return status;
    return seconds_since(begin);
  };
  const auto seconds = time_calls(time_call, args.num_repetitions);
  if (!seconds) return seconds.status();
  result.seconds = report::summarize(seconds.value());
  return result;
}

/// Planned and timed on the device.
Result<BenchResult> measure_cuda(const BenchDecodeArgs& args, const AttentionProblem& problem) {
  const auto device = choose_cuda(args);
  if (!device) return device.status();
  Executor executor = Executor::cuda(device.value().cuda_ordinal);
  const auto cpu = probe_cpu();
  if (!cpu) return cpu.status();
  DeviceSpec limited = device.value();  // the arrays are made on the host
  limited.memory_bytes = std::min(limited.memory_bytes, cpu.value().memory_bytes);
  const auto size = WorkloadSize::of(problem, args.kv_length, limited);
  if (!size) return size.status();

  auto planned = plan_for_device_lengths(problem, device.value(), {.mode = args.mode});
  if (!planned) return planned.status();
  BenchResult result{.plan = std::move(planned).value(), .size = size.value(), .seconds = {}};
  count_work(args, result);
  auto host = make_workload(args, result);
  if (!host) return result;
  auto copied = DeviceWorkload::copy(*host, result.plan, equal_lengths(args), executor);
  if (!copied) return copied.status();
  DeviceWorkload workload = std::move(copied).value();
  const auto plan_seconds = workload.time_prepare(result.plan);
  if (!plan_seconds) return plan_seconds.status();
  result.plan_seconds = plan_seconds.value();
  const auto time_call = [&](std::int64_t call_idx) {
    return workload.time_call(result.plan, call_idx);
  };
  const auto seconds = time_calls(time_call, args.num_repetitions);
  if (!seconds) return seconds.status();
  result.seconds = report::summarize(seconds.value());
  return result;
}

Result<BenchResult> measure(const BenchDecodeArgs& args) {
  const auto problem = make_problem(args);
  if (!problem) return problem.status();
  return args.device == DeviceKind::kCuda ? measure_cuda(args, problem.value())
                                          : measure_cpu(args, problem.value());
}

}  // namespace

ExitCode run(const BenchDecodeArgs& args) {
  const auto result = measure(args);
  if (!result) return fail(result.status());
  if (result.value().seconds.count == 0) {
    write_remark("seesaw: interrupted\n");
    return interrupt_exit_code();
  }
  const Status written =
      write_output(args.style == OutputStyle::kJson ? result_json(args, result.value())
                                                    : result_text(result.value()));
  return written ? ExitCode::kOk : fail(written);
}

}  // namespace seesaw::cli
