// What planning a step costs: schedule and workspace layout of 4,096 requests, into a plan that was
// used before, as a decode loop does. One thread. Counters: tiles before and items after splitting,
// and the makespan over the larger of the mean load and the largest piece (1 is perfect; an item's
// cost is the scheduler's own model, merging is not part of it).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "scheduling/scheduler.h"

namespace seesaw::scheduling {
namespace {

constexpr std::int64_t kNumRequests = 4096;

/// Where the plan is for, as its backend would ask.
struct Target {
  std::string_view name;
  DeviceKind kind;
  std::int32_t num_workers;
  std::int32_t rows_per_tile;
  std::int32_t kv_granule;
};
constexpr std::array<Target, 3> kTargets = {{
    {"cpu_2_threads", DeviceKind::kCpu, 2, 128, 16},
    {"cpu_192_threads", DeviceKind::kCpu, 192, 128, 16},
    {"cuda_132_sms", DeviceKind::kCuda, 132, 64, 64},
}};

using Rng = std::mt19937_64;

struct Mix {
  std::string_view name;
  std::int32_t (*length)(Rng& rng, std::int64_t request_idx);
};

std::int32_t uniform(Rng& rng, std::int32_t first, std::int32_t last) {
  return std::uniform_int_distribution<std::int32_t>(first, last)(rng);
}

constexpr std::array<Mix, 6> kMixes = {{
    {"equal_4096", [](Rng&, std::int64_t) { return 4096; }},
    {"uniform_1_to_512", [](Rng& rng, std::int64_t) { return uniform(rng, 1, 512); }},
    {"uniform_1_to_8192", [](Rng& rng, std::int64_t) { return uniform(rng, 1, 8192); }},
    {"uniform_1_to_32768", [](Rng& rng, std::int64_t) { return uniform(rng, 1, 32768); }},
    {"powers_of_two", [](Rng& rng, std::int64_t) { return 1 << uniform(rng, 0, 15); }},
    {"one_giant",
     [](Rng& rng, std::int64_t request_idx) {
       return request_idx == kNumRequests / 2 ? 1'000'000 : uniform(rng, 1, 1024);
     }},
}};

enum class Call : std::uint8_t { kDecode, kCausalDraft };  // s_q 1; s_q 4, causal

ScheduleInput input_for(const Target& target, ScheduleMode mode, Call call,
                        const std::vector<std::int32_t>& lengths) {
  ScheduleInput input;
  input.problem.batch = kNumRequests;
  if (call == Call::kCausalDraft) {
    input.problem.s_q = 4;
    input.problem.mask = Mask::kCausal;
  }
  input.mode = mode;
  input.num_workers = target.num_workers;
  input.rows_per_tile = target.rows_per_tile;
  input.kv_granule = target.kv_granule;
  input.cost = cost_model(input.problem, target.kind, CpuIsa::kAvx512Bf16);
  input.kv_lengths = lengths;
  return input;
}

void report_quality(benchmark::State& state, const ScheduleInput& input, const WorkPlan& plan) {
  std::int64_t makespan = 0;
  std::int64_t total = 0;  // of unsplit tiles
  std::int64_t largest = 0;
  for (std::size_t w = 0; w + 1 < plan.worker_begin.size(); ++w) {
    std::int64_t load = 0;
    for (std::int32_t i = plan.worker_begin[w]; i < plan.worker_begin[w + 1]; ++i) {
      const WorkItem& item = plan.items[static_cast<std::size_t>(i)];
      const std::int64_t rows = item.row_end - item.row_begin;
      const std::int64_t cost = input.cost.item_cost(rows, item.kv_end - item.kv_begin);
      const bool counts_fixed = item.kv_begin == 0;  // a tile pays it once if it is not split
      total += counts_fixed ? cost : cost - input.cost.fixed_cost(rows);
      load += cost + (item.slot_idx >= 0 ? input.cost.slot_cost(rows) : 0);
      largest = std::max(largest, cost);
    }
    makespan = std::max(makespan, load);
  }
  const auto pieces = plan.mode == ScheduleMode::kBatchInvariant ? largest : 0;
  const double bound = std::max(static_cast<double>(total) / static_cast<double>(input.num_workers),
                                static_cast<double>(pieces));
  state.counters["items"] = static_cast<double>(plan.items.size());
  state.counters["combines"] = static_cast<double>(plan.combines.size());
  state.counters["makespan_ratio"] = static_cast<double>(makespan) / bound;
}

void plan_step(benchmark::State& state, const Target& target, const Mix& mix, ScheduleMode mode,
               Call call) {
  Rng rng(20'241'107);
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < kNumRequests; ++i) lengths.push_back(mix.length(rng, i));
  const ScheduleInput input = input_for(target, mode, call, lengths);
  WorkPlan plan;
  for (auto _ : state) {
    Status status = schedule(input, plan);
    if (status) status = lay_out_workspace(plan, 1 << 20);
    if (!status) {
      state.SkipWithError(status.message().c_str());
      return;
    }
    benchmark::DoNotOptimize(plan.items.data());
    benchmark::ClobberMemory();
  }
  report_quality(state, input, plan);
}

void register_all() {
  for (const Target& target : kTargets) {
    for (const ScheduleMode mode :
         {ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant}) {
      for (const Call call : {Call::kDecode, Call::kCausalDraft}) {
        for (const Mix& mix : kMixes) {
          const auto name =
              fmt::format("{}/{}/{}/{}", target.name, to_string(mode),
                          call == Call::kDecode ? "decode" : "causal_s_q_4", mix.name);
          benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            plan_step(state, target, mix, mode, call);
          })->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
}

}  // namespace
}  // namespace seesaw::scheduling

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  seesaw::scheduling::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
