#include <array>

#include "cpu/check.h"
#include "cpu/contenders.h"
#include "harness/interleave.h"

namespace seesaw::bench {

AttentionContender::AttentionContender(const Work& work, ColdCache& cache, DType out_dtype)
    : work_(work),
      cache_(cache),
      out_dtype_(out_dtype),
      out_(work.num_rows() * Work::kDV * static_cast<std::int64_t>(size_bytes(out_dtype))) {}

double AttentionContender::limit_of_error() const {
  return error_limit(work_.kv_format == KvFormat::kBFloat16 || out_dtype_ == DType::kBFloat16);
}

namespace {

class SeesawContender final : public AttentionContender {
 public:
  SeesawContender(const Work& work, ColdCache& cache, const HugeBuffer& queries,
                  const SeesawSetup& setup, WorkPlan plan)
      : AttentionContender(work, cache, work.q_dtype),
        queries_(queries),
        executor_(*setup.executor),
        plan_(std::move(plan)),
        workspace_(static_cast<std::int64_t>(plan_.workspace_bytes)) {}

  double sample() override {
    const std::int64_t request_idx = cache_.next_request(work_.s_k);
    return seconds_of([&] { run(request_idx); });
  }

  double checked_error(std::uint64_t seed) override {
    run(0);
    return relative_error({.work = work_,
                           .queries = queries_.data(),
                           .queries_dtype = work_.q_dtype,
                           .pages = cache_.pages(),
                           .block_table = cache_.block_table(0, work_.s_k),
                           .out = out_.data(),
                           .out_dtype = out_dtype_},
                          seed);
  }

  std::string detail() const override { return plan_.kernel_name; }

 private:
  void run(std::int64_t request_idx) {
    CacheArgs cache;
    cache.kv_cache = cache_.pages();
    cache.block_table = cache_.block_table(request_idx, work_.s_k);
    const std::span<std::byte> workspace(workspace_.data(), plan_.workspace_bytes);
    if (work_.phase == Phase::kDecode) {
      DecodeArgs args;
      args.q =
          ConstTensorView(queries_.data(), work_.q_dtype, {1, work_.s_q, work_.h_q, Work::kDQk});
      args.cache = cache;
      args.out = TensorView(out_.data(), work_.q_dtype, {1, work_.s_q, work_.h_q, Work::kDV});
      args.workspace = workspace;
      throw_if_error(decode(plan_, args, executor_));
    } else {
      PrefillArgs args;
      args.q = ConstTensorView(queries_.data(), work_.q_dtype, {work_.s_q, work_.h_q, Work::kDQk});
      args.cache = cache;
      args.out = TensorView(out_.data(), work_.q_dtype, {work_.s_q, work_.h_q, Work::kDV});
      args.workspace = workspace;
      throw_if_error(prefill(plan_, args, executor_));
    }
  }

  const HugeBuffer& queries_;
  Executor& executor_;
  WorkPlan plan_;
  HugeBuffer workspace_;
};

}  // namespace

Result<std::unique_ptr<AttentionContender>> make_seesaw(const Work& work, ColdCache& cache,
                                                        const HugeBuffer& queries,
                                                        const SeesawSetup& setup) {
  const std::array kv_lengths = {static_cast<std::int32_t>(work.s_k)};
  const std::array q_lengths = {static_cast<std::int32_t>(work.s_q)};
  const bool is_prefill = work.phase == Phase::kPrefill;
  PlanOptions options;
  options.mode = ScheduleMode::kLatency;  // one request: every worker takes a share
  Result<WorkPlan> planned =
      plan(work.problem(), setup.device, kv_lengths,
           is_prefill ? std::span<const std::int32_t>(q_lengths) : std::span<const std::int32_t>(),
           options);
  if (!planned) return planned.status();
  return std::unique_ptr<AttentionContender>(
      std::make_unique<SeesawContender>(work, cache, queries, setup, std::move(planned).value()));
}

}  // namespace seesaw::bench
