// Measures the scheduler's cost constants of each CPU kernel and prints the rows of the table in
// src/scheduling/cost_model.cc. One worker, d_qk 576, d_v 512, pages of 64, a cold cache.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "harness/memory.h"
#include "seesaw/seesaw.h"

namespace {

using namespace seesaw;

constexpr std::int64_t kPageSize = 64;
constexpr std::int64_t kPoolPages = 4096;  // 288 MiB of bfloat16, many times a last-level cache
constexpr int kRepetitions = 41;

/// Inputs of any call of the study; every call reads other pages of the pool than the last.
class Bench {
 public:
  explicit Bench(CpuIsa isa)
      : isa_(isa), pool_(kPoolPages * kPageSize * 576 * 2), queries_(64 * 128 * 576 * 2) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<BFloat16> page(static_cast<std::size_t>(kPageSize * 576));
    for (BFloat16& x : page) x = BFloat16(normal(random));
    for (std::int64_t i = 0; i < pool_.size() / 2; ++i) {
      pool_.as<BFloat16>()[i] = page[static_cast<std::size_t>(i) % page.size()];
    }
    for (std::int64_t i = 0; i < queries_.size() / 2; ++i) {
      queries_.as<BFloat16>()[i] = BFloat16(normal(random));
    }
  }

  /// Least picoseconds of a decode of `batch` requests with `s_k` keys and h_q heads.
  double decode_ps(std::int64_t batch, std::int64_t h_q, std::int32_t s_k,
                   std::int32_t num_splits = 1) {
    const AttentionProblem problem{.batch = batch, .h_q = h_q};
    DeviceSpec device = probe_cpu().value();
    device.num_workers = 1;
    device.cpu_isa = isa_;
    const std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch), s_k);
    const WorkPlan work = plan(problem, device, lengths, {}, {.num_splits = num_splits}).value();
    const bench::HugeBuffer workspace(static_cast<std::int64_t>(work.workspace_bytes) + 64);
    const bench::HugeBuffer out(batch * h_q * 512 * 2);
    const std::int64_t max_pages = (s_k + kPageSize - 1) / kPageSize;
    std::vector<std::int32_t> table(static_cast<std::size_t>(batch * max_pages));
    DecodeArgs args;
    args.q = {queries_.data(), DType::kBFloat16, {batch, 1, h_q, 576}};
    args.cache.kv_cache = {pool_.data(), DType::kBFloat16, {kPoolPages, kPageSize, 1, 576}};
    args.cache.block_table = {table.data(), DType::kInt32, {batch, max_pages}};
    args.out = {out.data(), DType::kBFloat16, {batch, 1, h_q, 512}};
    args.workspace = {workspace.data(), work.workspace_bytes};
    std::vector<double> samples;
    for (int i = 0; i < kRepetitions; ++i) {
      for (std::int32_t& page : table) page = next_page();
      const auto begin = std::chrono::steady_clock::now();
      throw_if_error(decode(work, args, executor_));
      const std::chrono::duration<double, std::pico> time =
          std::chrono::steady_clock::now() - begin;
      if (i > 4) samples.push_back(time.count());
    }
    return *std::min_element(samples.begin(), samples.end());
  }

 private:
  std::int32_t next_page() {
    page_ = (page_ + 1031) % kPoolPages;  // a prime: every page once a turn, in no simple order
    return static_cast<std::int32_t>(page_);
  }

  CpuIsa isa_;
  bench::HugeBuffer pool_;
  bench::HugeBuffer queries_;
  Executor executor_ = Executor::cpu(1);
  std::int64_t page_ = 0;
};

/// The line through (16, at_16) and (64, at_64).
struct Line {
  double intercept;
  double slope;
};
Line through(double at_16, double at_64) {
  const double slope = (at_64 - at_16) / 48;
  return {at_16 - 16 * slope, slope};
}

std::string measure(CpuIsa isa) {
  Bench bench(isa);
  const auto token = [&](std::int64_t h_q) {
    return (bench.decode_ps(1, h_q, 4096) - bench.decode_ps(1, h_q, 1024)) / 3072;
  };
  const double token_16 = token(16), token_64 = token(64);
  const Line per_token = through(token_16, token_64);
  // A row's queries are packed and its output is written: 64 requests of one key, so that the
  // launch itself does not count.
  const auto item = [&](std::int64_t h_q) {
    return (bench.decode_ps(64, h_q, 1) - bench.decode_ps(1, h_q, 1)) / 63;
  };
  const double item_row = through(item(16), item(64)).slope - per_token.slope;
  // Sixteen splits add fifteen items, each with a first block that nothing has prefetched, and
  // partial results: written once and read once, half of a row's cost each.
  const auto split = [&](std::int64_t h_q) {
    return (bench.decode_ps(1, h_q, 4096, 16) - bench.decode_ps(1, h_q, 4096, 1)) / 15;
  };
  const Line per_split = through(split(16), split(64));
  const double partial_row = std::max(0.0, per_split.slope - item_row);
  return fmt::format(
      "{:12} item_fixed {:9.0f}  item_row {:7.0f}  token {:7.0f}  token_row {:6.0f}  "
      "slot_row {:6.0f}  combine_split_row {:6.0f}",
      to_string(isa), per_split.intercept, item_row, per_token.intercept, per_token.slope,
      partial_row / 2, partial_row / 2);
}

}  // namespace

int main() {
  try {
    std::printf("picoseconds on one worker of %s\n", probe_cpu().value().name.c_str());
    for (CpuIsa isa : {CpuIsa::kAvx512Bf16, CpuIsa::kAvx512, CpuIsa::kAvx2, CpuIsa::kGeneric}) {
      if (cpu_supports(isa)) std::puts(measure(isa).c_str());
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
