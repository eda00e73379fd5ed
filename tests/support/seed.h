// Random inputs that differ from run to run and can be repeated.
#pragma once

#include <cstdint>
#include <random>

namespace seesaw::testing {

using Rng = std::mt19937_64;

/// This run's seed: the environment variable SEESAW_TEST_SEED if set, else a random one. Printed
/// when it is first asked for.
std::uint64_t test_seed();

/// A generator for stream `stream_idx` of the running test: tests and streams do not share numbers.
Rng make_rng(std::uint64_t stream_idx = 0);

/// Uniform in [first, last].
inline std::int64_t uniform(Rng& rng, std::int64_t first, std::int64_t last) {
  return std::uniform_int_distribution<std::int64_t>(first, last)(rng);
}

}  // namespace seesaw::testing
