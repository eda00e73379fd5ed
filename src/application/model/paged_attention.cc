#include "model/paged_attention.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "seesaw/attention.h"
#include "seesaw/kv_cache.h"
#include "seesaw/plan.h"

namespace seesaw::model {
namespace {

constexpr std::align_val_t kWorkspaceAlignment{64};

ConstTensorView lengths_view(const std::vector<std::int64_t>& values) {
  return {values.data(), DType::kInt64, {static_cast<std::int64_t>(values.size())}};
}

/// A few requests are spread over all threads; many keep them busy undivided.
ScheduleMode mode_for(const Step& step, const DeviceSpec& device) {
  return step.batch() < device.num_workers ? ScheduleMode::kLatency : ScheduleMode::kThroughput;
}

}  // namespace

void PagedAttention::FreeMemory::operator()(std::byte* memory) const noexcept {
  ::operator delete(memory, kWorkspaceAlignment);
}

AttentionProblem PagedAttention::problem(const Step& step, KvFormat format,
                                         std::int64_t page_size) const {
  const bool is_decode = step.phase == Phase::kDecode;
  AttentionProblem problem;
  problem.phase = step.phase;
  problem.batch = step.batch();
  problem.s_q = is_decode ? 1 : *std::ranges::max_element(step.q_lengths);
  problem.h_q = config_.num_heads;
  problem.h_kv = 1;
  problem.d_qk = config_.d_qk();
  problem.d_v = config_.kv_lora_rank;
  problem.page_size = page_size;
  problem.q_dtype = DType::kFloat32;
  problem.out_dtype = DType::kFloat32;
  problem.kv_format = format;
  problem.mask = is_decode ? Mask::kNone : Mask::kCausal;
  problem.softmax_scale = config_.softmax_scale();
  return problem;
}

Status PagedAttention::check(KvFormat format, std::int64_t page_size) const {
  Step step;
  step.q_lengths = {1};
  step.kv_lengths = {1};
  for (const Phase phase : {Phase::kDecode, Phase::kPrefill}) {
    step.phase = phase;
    const std::span<const std::int32_t> q_lengths =
        phase == Phase::kPrefill ? std::span<const std::int32_t>(step.q_lengths)
                                 : std::span<const std::int32_t>();
    const auto planned =
        seesaw::plan(problem(step, format, page_size), device_, step.kv_lengths, q_lengths);
    if (!planned) return planned.status();
  }
  return Status::ok();
}

Status PagedAttention::prepare(const Step& step, const LatentCache& cache) {
  const AttentionProblem wanted = problem(step, cache.format(), cache.allocator().page_size());
  std::optional<WorkPlan>& kept = plan_of(step);
  std::span<const std::int32_t> q_lengths;
  if (step.phase == Phase::kPrefill) q_lengths = step.q_lengths;
  // Of a session's problems only these two differ from step to step.
  if (kept && kept->problem.batch == wanted.batch && kept->problem.s_q == wanted.s_q) {
    if (Status status = seesaw::replan(*kept, step.kv_lengths, q_lengths); !status) return status;
  } else {
    auto planned = seesaw::plan(wanted, device_, step.kv_lengths, q_lengths,
                                {.mode = mode_for(step, device_), .num_splits = std::nullopt});
    if (!planned) return planned.status();
    kept = std::move(planned).value();
  }
  reserve_workspace(kept->workspace_bytes);
  return Status::ok();
}

void PagedAttention::reserve_workspace(std::size_t num_bytes) {
  if (num_bytes <= workspace_bytes_) return;
  workspace_.reset();  // first, so that old and new do not stand side by side
  workspace_bytes_ = 0;
  workspace_.reset(static_cast<std::byte*>(::operator new(num_bytes, kWorkspaceAlignment)));
  workspace_bytes_ = num_bytes;
}

Status PagedAttention::append(const Step& step, MatrixView kv, const TensorView& layer_cache,
                              KvFormat format) {
  const std::int64_t d_latent = config_.kv_lora_rank;
  const auto part = [&](const float* data, std::int64_t width) {
    return ConstTensorView(data, DType::kFloat32, {kv.rows, 1, width}, {kv.stride, width, 1});
  };
  const AppendArgs args{.latent = part(kv.data, d_latent),
                        .rope = part(kv.data + d_latent, config_.qk_rope_head_dim),
                        .slot_mapping = lengths_view(step.slots),
                        .kv_cache = layer_cache};
  return seesaw::append(args, format, executor_);
}

Status PagedAttention::run(const Step& step, MatrixView q, const TensorView& layer_cache,
                           MutableMatrixView out) {
  const WorkPlan& plan = *plan_of(step);
  const std::int64_t tokens = step.num_tokens();
  const std::int64_t heads = config_.num_heads;
  const std::int64_t d_qk = config_.d_qk();
  const std::int64_t d_v = config_.kv_lora_rank;
  CacheArgs cache;
  cache.kv_cache = layer_cache;
  cache.block_table = {step.block_table.data(), DType::kInt32, {step.batch(), step.max_pages}};
  const std::span workspace(workspace_.get(), plan.workspace_bytes);
  if (step.phase == Phase::kDecode) {
    const DecodeArgs args{.q = {q.data, DType::kFloat32, {tokens, 1, heads, d_qk}},
                          .cache = cache,
                          .out = {out.data, DType::kFloat32, {tokens, 1, heads, d_v}},
                          .lse = {},
                          .workspace = workspace};
    return seesaw::decode(plan, args, executor_);
  }
  const PrefillArgs args{.q = {q.data, DType::kFloat32, {tokens, heads, d_qk}},
                         .cache = cache,
                         .out = {out.data, DType::kFloat32, {tokens, heads, d_v}},
                         .lse = {},
                         .max_logits = {},
                         .workspace = workspace};
  return seesaw::prefill(plan, args, executor_);
}

std::string PagedAttention::kernel_name() const {
  if (decode_plan_) return decode_plan_->kernel_name;
  return prefill_plan_ ? prefill_plan_->kernel_name : std::string();
}

std::string PagedAttention::explain_decode() const {
  return decode_plan_ ? seesaw::explain(*decode_plan_) : std::string();
}

}  // namespace seesaw::model
