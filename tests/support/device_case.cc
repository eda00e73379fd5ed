#include "support/device_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>
#include <thread>

#include "support/device_oracle.h"
#include "support/every_row.h"

namespace seesaw::testing {
namespace {

constexpr std::int64_t kLengthStride = 2;

/// A plan for the same lengths with the division made on the host, or nothing.
std::optional<WorkPlan> plan_on_host(const AttentionCase& attention_case, const WorkPlan& like) {
  const CaseSpec& spec = attention_case.spec();
  Result<WorkPlan> planned =
      plan(spec.problem, like.device, spec.kv_lengths, {}, {.mode = like.mode});
  if (!planned || planned.value().groups.shape.num_ranges != like.groups.shape.num_ranges)
    return std::nullopt;
  return std::move(planned).value();
}

}  // namespace

const std::optional<DeviceSpec>& test_device() {
  static const std::optional<DeviceSpec> device = [] {
    const std::vector<DeviceSpec> devices = probe_cuda();
    return devices.empty() ? std::nullopt : std::optional(devices.front());
  }();
  return device;
}

std::string to_string(const DeviceOptions& options) {
  return fmt::format(
      "mode {}, {} splits, lengths on the {}, {} kernel{}, {} workers",
      seesaw::to_string(options.plan.mode),
      options.plan.num_splits ? std::to_string(*options.plan.num_splits) : "the plan's",
      options.lengths == LengthSource::kHost ? "host" : "device",
      options.kernel == KernelChoice::kBest ? "best" : "portable",
      options.check == DataCheck::kVerify ? ", data checked" : "", options.num_workers);
}

algorithm::KernelArithmetic device_arithmetic(const AttentionCase& attention_case,
                                              const WorkPlan& plan) {
  // A tuned plan falls back to the portable kernel for arrays that its copies cannot take.
  const bool is_portable = attention_case.spec().layout == Layout::kGaps;
  if (!plan.has_device_lengths()) return arithmetic_of(plan, is_portable);
  const std::optional<WorkPlan> same = plan_on_host(attention_case, plan);
  algorithm::KernelArithmetic arithmetic = arithmetic_of(same ? *same : plan, is_portable);
  if (!same) arithmetic.num_splits = plan.groups.shape.num_ranges;
  return arithmetic;
}

DeviceCase::DeviceCase(AttentionCase& attention_case, cudaStream_t stream)
    : case_(attention_case),
      stream_(stream),
      executor_(Executor::cuda(test_device().value().cuda_ordinal, stream)),
      q_(case_.q(), stream),
      kv_cache_(case_.kv_cache(), stream),
      block_table_(case_.block_table(), stream),
      attn_sink_(case_.attn_sink(), stream),
      out_(case_.out_array(), stream),
      lse_(case_.lse_array(), stream),
      lengths_(case_.spec().kv_lengths.size() * kLengthStride * sizeof(std::int32_t)) {
  set_lengths(case_.spec().kv_lengths);
}

Result<WorkPlan> DeviceCase::make_plan(const DeviceOptions& options) const {
  DeviceSpec device = test_device().value();
  if (options.num_workers > 0) device.num_workers = options.num_workers;
  if (options.kernel == KernelChoice::kPortable) device.sm_arch = 80;
  const CaseSpec& spec = case_.spec();
  if (options.lengths == LengthSource::kDevice)
    return plan_for_device_lengths(spec.problem, device, options.plan);
  return plan(spec.problem, device, spec.kv_lengths, {}, options.plan);
}

void DeviceCase::make_workspace(const WorkPlan& plan) {
  workspace_ = DeviceBuffer(plan.workspace_bytes);
  workspace_.fill(0xff, stream_);
}

DecodeArgs DeviceCase::args() const {
  DecodeArgs args;
  args.q = q_.view();
  args.cache.kv_cache = kv_cache_.view();
  args.cache.block_table = block_table_.view();
  args.cache.attn_sink = attn_sink_.view();
  args.out = out_.view();
  args.lse = lse_.view();
  args.workspace = workspace_.bytes();
  return args;
}

ConstTensorView DeviceCase::lengths() const {
  return ConstTensorView(lengths_.data(), DType::kInt32,
                         {static_cast<std::int64_t>(host_lengths_.size()) / kLengthStride},
                         {kLengthStride});
}

void DeviceCase::set_lengths(std::span<const std::int32_t> kv_lengths) {
  require_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  host_lengths_.assign(kv_lengths.size() * kLengthStride, std::numeric_limits<std::int32_t>::max());
  for (std::size_t i = 0; i < kv_lengths.size(); ++i)
    host_lengths_[i * kLengthStride] = kv_lengths[i];
  lengths_.upload(std::as_bytes(std::span(host_lengths_)), stream_);
}

void DeviceCase::upload_cache() {
  reference_.reset();
  kv_cache_.upload(stream_);
  block_table_.upload(stream_);
}

Status DeviceCase::prepare(const WorkPlan& plan) {
  return seesaw::prepare(plan, plan.has_device_lengths() ? lengths() : ConstTensorView(),
                         workspace_.bytes(), executor_);
}

Status DeviceCase::decode(const WorkPlan& plan, DataCheck check) {
  return seesaw::decode(plan, args(), executor_, check);
}

void DeviceCase::poison_outputs() {
  case_.poison_outputs();
  out_.upload(stream_);
  lse_.upload(stream_);
}

void DeviceCase::download_outputs() {
  out_.download(stream_);
  lse_.download(stream_);
  require_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize after decode");
}

Status DeviceCase::compute(const DeviceOptions& options, WorkPlan* plan) {
  const Result<WorkPlan> planned = make_plan(options);
  if (!planned) return planned.status();
  if (plan != nullptr) *plan = planned.value();
  make_workspace(planned.value());
  poison_outputs();
  if (Status status = prepare(planned.value()); !status) return status;
  const Status status = decode(planned.value(), options.check);
  download_outputs();
  return status;
}

::testing::AssertionResult DeviceCase::run(const DeviceOptions& options, RunReport* report) {
  RunReport unused;
  RunReport& to_fill = report != nullptr ? *report : unused;
  const auto where = [&] {
    return fmt::format("\n  in {}\n  {}, kernel {}\n  SEESAW_TEST_SEED={}", to_string(case_.spec()),
                       to_string(options), to_fill.plan.kernel_name, test_seed());
  };
  const std::vector<std::int32_t>& lengths = case_.spec().kv_lengths;
  reference(lengths);  // before any kernel of the library ran: it may only read the inputs
  if (const Status status = compute(options, &to_fill.plan); !status)
    return ::testing::AssertionFailure()
           << to_string(status.code()) << ": " << status.message() << where();

  auto result = check(lengths, device_arithmetic(case_, to_fill.plan), &to_fill);
  if (result && case_.spec().layout != Layout::kCompact && !case_.output_gaps_are_untouched())
    result = ::testing::AssertionFailure() << "memory between rows of an output was written";
  if (result) return result;
  return ::testing::AssertionFailure() << result.message() << where();
}

::testing::AssertionResult DeviceCase::check(const std::vector<std::int32_t>& kv_lengths,
                                             const algorithm::KernelArithmetic& arithmetic,
                                             RunReport* report) {
  return check_every_row(case_, reference(kv_lengths), arithmetic,
                         report != nullptr ? &report->out : nullptr,
                         report != nullptr ? &report->lse : nullptr);
}

const algorithm::ReferenceOutputs& DeviceCase::reference(
    const std::vector<std::int32_t>& kv_lengths) {
  if (!reference_ || reference_lengths_ != kv_lengths) {
    reference_ = device_reference(case_.problem(), args(), kv_lengths, stream_);
    reference_lengths_ = kv_lengths;
  }
  return *reference_;
}

std::vector<std::byte> DeviceCase::output_bits() const {
  std::vector<std::byte> bits;
  for (const StridedArray* array : {&case_.out_array(), &case_.lse_array()})
    bits.insert(bits.end(), array->memory().begin(), array->memory().end());
  return bits;
}

void run_trials(const std::vector<DeviceTrial>& trials) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    const DeviceStream stream;
    for (std::size_t i = next++; i < trials.size(); i = next++) {
      try {
        Rng rng = make_rng(i);
        AttentionCase attention_case(trials[i].spec, rng);
        DeviceCase device_case(attention_case, stream.get());
        for (const DeviceOptions& options : trials[i].ways)
          EXPECT_TRUE(device_case.run(options)) << "trial " << i;
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what() << "\n  in trial " << i << ": " << to_string(trials[i].spec);
      }
    }
  };
  // A large trial takes up to 3 GB of the device.
  const std::size_t num_threads = std::min<std::size_t>(
      trials.size(), std::clamp(std::thread::hardware_concurrency(), 1u, 16u));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < num_threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace seesaw::testing
