#include "limits/read_bandwidth.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

namespace seesaw::bench {
namespace {

using Vector = std::uint64_t __attribute__((vector_size(64)));
constexpr std::int64_t kLine = 64;
constexpr int kMostStreams = 8;

/// Exclusive or of all lines of `num_streams` ranges of `lines` lines each, in step.
inline __attribute__((always_inline)) std::uint64_t read_streams(const std::byte* from,
                                                                 std::int64_t lines,
                                                                 int num_streams) {
  Vector sums[kMostStreams] = {};
  const std::int64_t stride = lines * kLine;
  for (std::int64_t line = 0; line + 4 <= lines; line += 4) {
    for (int s = 0; s < num_streams; ++s) {
      const std::byte* at = from + s * stride + line * kLine;
      Vector v[4];
      std::memcpy(v, at, sizeof v);
      sums[s] ^= (v[0] ^ v[1]) ^ (v[2] ^ v[3]);
    }
  }
  Vector total{};
  for (const Vector& sum : sums) total ^= sum;
  std::uint64_t result = 0;
  for (int i = 0; i < 8; ++i) result ^= total[i];
  return result;
}

inline __attribute__((always_inline)) std::uint64_t read_as(const std::byte* from,
                                                            std::int64_t lines, int num_streams) {
  switch (num_streams) {
    case 1:
      return read_streams(from, lines, 1);
    case 2:
      return read_streams(from, lines / 2, 2);
    case 4:
      return read_streams(from, lines / 4, 4);
    default:
      return read_streams(from, lines / 8, 8);
  }
}

std::uint64_t read_any(const std::byte* from, std::int64_t lines, int num_streams) {
  return read_as(from, lines, num_streams);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::byte* from,
                                                             std::int64_t lines, int num_streams) {
  return read_as(from, lines, num_streams);
}
__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::byte* from, std::int64_t lines,
                                                        int num_streams) {
  return read_as(from, lines, num_streams);
}
#endif

auto best_reader() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512;
  if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
  return read_any;
}

}  // namespace

double measure_read_gbps(std::span<const std::byte> bytes, ThreadTeam& team, int num_streams,
                         int num_passes) {
  using Clock = std::chrono::steady_clock;
  const auto reader = best_reader();
  const auto num_threads = static_cast<std::int64_t>(team.num_threads());
  const std::int64_t block = kLine * 4 * kMostStreams;
  const std::int64_t share = static_cast<std::int64_t>(bytes.size()) / num_threads / block * block;
  std::vector<double> rates(static_cast<std::size_t>(num_threads));
  std::vector<std::uint64_t> sinks(static_cast<std::size_t>(num_threads));
  team.run([&](int thread_idx) {
    const auto i = static_cast<std::size_t>(thread_idx);
    const std::byte* from = bytes.data() + thread_idx * share;
    const auto begin = Clock::now();
    for (int pass = 0; pass < num_passes; ++pass) {
      sinks[i] += reader(from, share / kLine, std::min(num_streams, kMostStreams));
      asm volatile("" : : "r"(from) : "memory");  // each pass reads again
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    rates[i] = static_cast<double>(share) * num_passes / seconds * 1e-9;
  });
  double sum = 0;
  std::uint64_t sink = 0;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    sum += rates[i];
    sink ^= sinks[i];
  }
  asm volatile("" : : "r"(sink));
  return sum;
}

}  // namespace seesaw::bench
