#include "scheduling/schedule_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

namespace seesaw::scheduling::testing {

using ::seesaw::testing::Rng;
using ::seesaw::testing::uniform;

std::string ScheduleCase::describe() const {
  const AttentionProblem& problem = settings.problem;
  const auto head = [](const std::vector<std::int32_t>& lengths) {
    return std::span(lengths).first(std::min<std::size_t>(lengths.size(), 40));
  };
  return fmt::format(
      "b {} s_q {} h_q {} h_kv {} top_k {} {} {} {}, mode {}, {} workers, rows_per_tile {}, "
      "kv_granule {}, num_splits {}, item_fixed {}, kv_lengths {}, q_lengths {} (40 shown at most)",
      problem.batch, problem.s_q, problem.h_q, problem.h_kv, problem.top_k,
      problem.phase == Phase::kPrefill ? "prefill" : "decode",
      problem.mask == Mask::kCausal ? "causal" : "unmasked",
      problem.sparsity == Sparsity::kTopK ? "top-k" : "dense", to_string(settings.mode),
      settings.num_workers, settings.rows_per_tile, settings.kv_granule,
      settings.num_splits.value_or(0), settings.cost.item_fixed, head(kv_lengths), head(q_lengths));
}

ScheduleCase decode_case(std::vector<std::int32_t> kv_lengths, std::int32_t num_workers,
                         std::int32_t rows, std::int32_t kv_granule) {
  ScheduleCase c;
  c.settings.problem.batch = static_cast<std::int64_t>(kv_lengths.size());
  c.settings.problem.h_q = rows;
  c.settings.num_workers = num_workers;
  c.settings.rows_per_tile = rows;
  c.settings.kv_granule = kv_granule;
  c.settings.cost = cost_model(c.settings.problem, DeviceKind::kCpu, CpuIsa::kAvx512Bf16);
  c.kv_lengths = std::move(kv_lengths);
  return c;
}

std::vector<std::int32_t> random_lengths(Rng& rng, Lengths kind, std::int64_t count,
                                         std::int32_t most) {
  std::vector<std::int32_t> lengths(static_cast<std::size_t>(count));
  const auto any = [&] { return static_cast<std::int32_t>(uniform(rng, 0, most)); };
  const std::int32_t common = any();
  for (std::int32_t& length : lengths) {
    switch (kind) {
      case Lengths::kZeros:
        length = 0;
        break;
      case Lengths::kOnes:
        length = std::min(1, most);
        break;
      case Lengths::kEqual:
        length = common;
        break;
      case Lengths::kPowersOfTwo:
        length = std::min(most, static_cast<std::int32_t>(1 << uniform(rng, 0, 20)));
        break;
      case Lengths::kRandom:
      case Lengths::kSorted:
        length = any();
        break;
      case Lengths::kGiantAmongMany:
        length = static_cast<std::int32_t>(uniform(rng, 0, most / 100));
        break;
      case Lengths::kMixedWithZeros:
        length = uniform(rng, 0, 1) == 0 ? 0 : any();
        break;
    }
  }
  if (kind == Lengths::kSorted) std::sort(lengths.begin(), lengths.end());
  if (kind == Lengths::kGiantAmongMany && count > 0) {
    lengths[static_cast<std::size_t>(uniform(rng, 0, count - 1))] = most;
  }
  return lengths;
}

namespace {

CostModel random_cost(Rng& rng, const AttentionProblem& problem) {
  const auto isa = static_cast<CpuIsa>(uniform(rng, 0, 3));
  CostModel cost = cost_model(problem, DeviceKind::kCpu, isa);
  switch (uniform(rng, 0, 4)) {
    case 0:
      return cost_model(problem, DeviceKind::kCuda, CpuIsa::kGeneric);
    case 1:  // splitting is free: a block is a granule
      cost.item_fixed = 1;
      cost.item_row = cost.slot_row = cost.combine_fixed = cost.combine_split_row = 0;
      return cost;
    case 2:  // splitting is dear: a block is many granules
      cost.slot_row *= 20;
      cost.combine_split_row *= 20;
      return cost;
    default:
      return cost;
  }
}

}  // namespace

ScheduleCase random_case(Rng& rng, const CaseLimits& limits) {
  const auto pick = [&rng](std::initializer_list<std::int32_t> values) {
    return *(values.begin() + uniform(rng, 0, static_cast<std::int64_t>(values.size()) - 1));
  };
  const auto up_to = [&rng](std::int64_t most) {  // small ones as often as large ones
    return uniform(rng, 0, 1) == 0 ? uniform(rng, 0, std::min<std::int64_t>(most, 4))
                                   : uniform(rng, 0, most);
  };
  ScheduleCase c;
  AttentionProblem& problem = c.settings.problem;
  problem.phase = uniform(rng, 0, 2) == 0 ? Phase::kPrefill : Phase::kDecode;
  problem.batch = up_to(limits.batch);
  problem.s_q = pick({0, 1, 1, 1, 2, 3, 7});
  if (problem.phase == Phase::kPrefill) problem.s_q = up_to(limits.q_len);
  problem.h_kv = pick({1, 1, 1, 2, 3});
  problem.h_q = problem.h_kv * pick({1, 3, 8, 16, 24, 128});
  problem.sparsity = uniform(rng, 0, 4) == 0 ? Sparsity::kTopK : Sparsity::kDense;
  const bool sparse = problem.sparsity == Sparsity::kTopK;
  problem.mask = !sparse && uniform(rng, 0, 1) == 0 ? Mask::kCausal : Mask::kNone;
  problem.top_k = sparse ? up_to(4096) : 0;

  c.settings.mode = static_cast<ScheduleMode>(uniform(rng, 0, 2));
  c.settings.num_workers =
      static_cast<std::int32_t>(std::max<std::int64_t>(1, up_to(limits.num_workers)));
  c.settings.rows_per_tile = pick({1, 5, 16, 64, 128});
  c.settings.kv_granule = pick({1, 16, 64, 100, 128});
  if (problem.phase == Phase::kPrefill) {  // a tile a row makes too many of them
    c.settings.rows_per_tile = std::max(16, c.settings.rows_per_tile);
  }
  c.settings.cost = random_cost(rng, problem);
  if (uniform(rng, 0, 7) == 0) c.settings.num_splits = static_cast<std::int32_t>(1 + up_to(40));

  const auto kind = static_cast<Lengths>(uniform(rng, 0, kNumLengthKinds - 1));
  if (!sparse) {
    const auto most = static_cast<std::int32_t>(uniform(rng, 1, limits.keys));
    c.kv_lengths = random_lengths(rng, kind, problem.batch, most);
  }
  if (problem.phase == Phase::kPrefill) {
    const auto q_kind = static_cast<Lengths>(uniform(rng, 0, kNumLengthKinds - 1));
    c.q_lengths =
        random_lengths(rng, q_kind, problem.batch, static_cast<std::int32_t>(problem.s_q));
  }
  return c;
}

}  // namespace seesaw::scheduling::testing
