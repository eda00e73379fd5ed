// Calls to schedule, with lengths of many kinds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduling/scheduler.h"
#include "support/seed.h"

namespace seesaw::scheduling::testing {

/// A ScheduleInput that owns its lengths.
struct ScheduleCase {
  ScheduleInput settings;  // its spans are not used
  std::vector<std::int32_t> kv_lengths;
  std::vector<std::int32_t> q_lengths;

  ScheduleInput input() const {
    ScheduleInput all = settings;
    all.kv_lengths = kv_lengths;
    all.q_lengths = q_lengths;
    return all;
  }
  std::string describe() const;
};

/// A decode of these lengths: h_q = rows_per_tile = rows, the AVX-512 bf16 cost model.
ScheduleCase decode_case(std::vector<std::int32_t> kv_lengths, std::int32_t num_workers,
                         std::int32_t rows = 16, std::int32_t kv_granule = 64);

enum class Lengths : std::uint8_t {
  kZeros,
  kOnes,
  kEqual,
  kPowersOfTwo,
  kRandom,
  kSorted,
  kGiantAmongMany,
  kMixedWithZeros,
};
inline constexpr int kNumLengthKinds = 8;

std::vector<std::int32_t> random_lengths(::seesaw::testing::Rng& rng, Lengths kind,
                                         std::int64_t count, std::int32_t most);

/// How large a random case may get.
struct CaseLimits {
  std::int64_t batch = 300;
  std::int32_t keys = 20'000;
  std::int32_t q_len = 40;
  std::int32_t num_workers = 200;
};

/// Anything the scheduler accepts: every mode, phase, mask and sparsity, several heads, tile
/// heights, granules and cost models, forced splits now and then.
ScheduleCase random_case(::seesaw::testing::Rng& rng, const CaseLimits& limits = {});

}  // namespace seesaw::scheduling::testing
