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

/// Independent normal numbers of deviation 1, a stream of them for each pair of numbers: streams
/// are cheap to begin, so rows of an array can be made in any order and by several threads.
class NormalStream {
 public:
  NormalStream(std::uint64_t seed, std::uint64_t stream_idx)
      : bits_{mix(mix(seed) ^ (stream_idx + 1))} {}

  double operator()() { return normal_(bits_); }

 private:
  /// SplitMix64: a counter and a mixing function.
  struct Bits {
    using result_type = std::uint64_t;
    std::uint64_t state;

    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return ~result_type{0}; }
    result_type operator()() { return mix(state += 0x9e3779b97f4a7c15u); }
  };

  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  Bits bits_;
  std::normal_distribution<double> normal_;
};

/// Uniform in [first, last].
inline std::int64_t uniform(Rng& rng, std::int64_t first, std::int64_t last) {
  return std::uniform_int_distribution<std::int64_t>(first, last)(rng);
}

}  // namespace seesaw::testing
