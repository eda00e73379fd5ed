// How fast tokens enter and leave a paged cache that no cache level holds, and what a launch of the
// thread pool costs. DeepSeek-V3's token: 512 + 64 dimensions, pages of 64.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "hardware/cpu/thread_pool.h"
#include "seesaw/seesaw.h"

namespace {

using namespace seesaw;

constexpr std::int64_t kNumPages = 4096, kPageSize = 64, kLatent = 512, kRope = 64;
constexpr std::int64_t kDim = kLatent + kRope;

// 302 MB of bfloat16, its pages visited in random order.
struct Pool {
  std::vector<BFloat16> memory =
      std::vector<BFloat16>(static_cast<std::size_t>(kNumPages * kPageSize * kDim));
  TensorView view{memory.data(), DType::kBFloat16, {kNumPages, kPageSize, 1, kDim}};
  std::vector<std::int32_t> pages = std::vector<std::int32_t>(kNumPages);
  Pool() {
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937_64(1));
  }
};

Pool& pool() {
  static Pool instance;
  return instance;
}

void report(benchmark::State& state, std::int64_t num_tokens, std::int64_t token_bytes) {
  state.SetItemsProcessed(state.iterations() * num_tokens);
  state.SetBytesProcessed(state.iterations() * num_tokens * token_bytes);
}

// Arguments: tokens, threads. A prefill chunk (512 tokens in a row), float32 to bfloat16.
void append_chunk(benchmark::State& state) {
  const std::int64_t num_tokens = state.range(0);
  Executor executor = Executor::cpu(static_cast<int>(state.range(1)));
  const std::vector<float> latent(static_cast<std::size_t>(num_tokens * kLatent), 1.5f);
  const std::vector<float> rope(static_cast<std::size_t>(num_tokens * kRope), 0.5f);
  std::vector<std::int64_t> slots(static_cast<std::size_t>(num_tokens));
  std::size_t next_page = 0;
  const TensorView& cache = pool().view;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < num_tokens; ++i) {
      if (i % kPageSize == 0) next_page = (next_page + 1) % kNumPages;
      slots[static_cast<std::size_t>(i)] = pool().pages[next_page] * kPageSize + i % kPageSize;
    }
    throw_if_error(append({.latent = {latent.data(), DType::kFloat32, {num_tokens, 1, kLatent}},
                           .rope = {rope.data(), DType::kFloat32, {num_tokens, 1, kRope}},
                           .slot_mapping = {slots.data(), DType::kInt64, {num_tokens}},
                           .kv_cache = cache},
                          KvFormat::kBFloat16, executor));
  }
  report(state, num_tokens, kDim * (4 + 2));
}
BENCHMARK(append_chunk)
    ->ArgNames({"tokens", "threads"})
    ->ArgsProduct({{1, 64, 512}, {1, 2}})
    ->UseRealTime();

// Arguments: threads, element bytes of the output (2: bfloat16, 4: float32). 4,096 tokens of one
// request.
void gather_request(benchmark::State& state) {
  constexpr std::int64_t kTokens = 4096, kMaxPages = kTokens / kPageSize;
  Executor executor = Executor::cpu(static_cast<int>(state.range(0)));
  const DType dtype = state.range(1) == 2 ? DType::kBFloat16 : DType::kFloat32;
  std::vector<std::byte> out(static_cast<std::size_t>(kTokens * kDim * state.range(1)));
  const std::int32_t length = kTokens;
  std::int64_t next_page = 0;
  for (auto _ : state) {
    throw_if_error(
        gather({.kv_cache = pool().view,
                .block_table = {pool().pages.data() + next_page, DType::kInt32, {1, kMaxPages}},
                .cache_seqlens = {&length, DType::kInt32, {1}},
                .out = {out.data(), dtype, {kTokens, 1, kDim}}},
               KvFormat::kBFloat16, executor));
    next_page = (next_page + kMaxPages) % kNumPages;
  }
  report(state, kTokens, kDim * (2 + state.range(1)));
}
BENCHMARK(gather_request)
    ->ArgNames({"threads", "out_bytes"})
    ->ArgsProduct({{1, 2}, {2, 4}})
    ->UseRealTime();

// Arguments: threads, microseconds of the caller's own work between two launches. Beyond the
// spinning time workers sleep and have to be woken.
void launch_nothing(benchmark::State& state) {
  cpu::ThreadPool threads(static_cast<int>(state.range(0)));
  const auto pause = std::chrono::microseconds(state.range(1));
  for (auto _ : state) {
    const auto pause_end = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < pause_end) {
    }
    const auto start = std::chrono::steady_clock::now();
    threads.run([](int) {});
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}
BENCHMARK(launch_nothing)
    ->ArgNames({"threads", "pause_us"})
    ->ArgsProduct({{1, 2}, {0, 20, 1000}})
    ->Iterations(500)  // the pauses are most of the time
    ->Repetitions(9)
    ->ReportAggregatesOnly(true)
    ->UseManualTime();

// A decode step's bookkeeping: every one of `requests` sequences grows by a token.
void extend_all(benchmark::State& state) {
  const auto num_requests = static_cast<std::size_t>(state.range(0));
  PageAllocator allocator(static_cast<std::int32_t>(num_requests) * 64, kPageSize);
  std::vector<SequenceId> sequences(num_requests);
  for (SequenceId& sequence : sequences) sequence = allocator.create();
  std::vector<PageCopy> copies;
  std::int64_t slot = 0;
  for (auto _ : state) {
    for (const SequenceId sequence : sequences) {
      const std::int64_t length = allocator.num_tokens(sequence);
      if (length == 64 * kPageSize) throw_if_error(allocator.truncate(sequence, 0));
      throw_if_error(allocator.extend(sequence, 1, copies));
      throw_if_error(allocator.slots(sequence, allocator.num_tokens(sequence) - 1, {&slot, 1}));
      benchmark::DoNotOptimize(slot);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(extend_all)->ArgName("requests")->Arg(256);

}  // namespace

BENCHMARK_MAIN();
