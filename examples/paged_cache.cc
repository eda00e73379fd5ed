// The life of sequences in a paged cache: write a prompt, answer it twice from one copy of it, take
// back rejected tokens, run out of pages, and attend. docs/paged_cache.md explains each step.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "seesaw/seesaw.h"

namespace {

using namespace seesaw;

constexpr std::int32_t kNumPages = 6, kPageSize = 4;
constexpr std::int64_t kLatent = 32, kRope = 8, kDim = kLatent + kRope, kHeads = 4;
constexpr KvFormat kFormat = KvFormat::kBFloat16;

struct Cache {
  PageAllocator allocator{kNumPages, kPageSize};
  std::vector<BFloat16> memory = std::vector<BFloat16>(kNumPages * kPageSize * kDim);
  TensorView pool{memory.data(), DType::kBFloat16, {kNumPages, kPageSize, 1, kDim}};
  Executor executor = Executor::cpu(1);
};

// Stands for a model's layer: token number n gets the latent and the rope (n, n, ..).
std::vector<float> rows_of(const std::vector<float>& tokens, std::int64_t width) {
  std::vector<float> rows;
  for (const float token : tokens) rows.insert(rows.end(), static_cast<std::size_t>(width), token);
  return rows;
}

Status add_tokens(Cache& cache, SequenceId sequence, const std::vector<float>& tokens) {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t first = cache.allocator.num_tokens(sequence);

  // Room first. It may be refused: then nothing has changed.
  std::vector<PageCopy> copies;
  Status status = cache.allocator.extend(sequence, n, copies);
  if (!status) return status;

  // Then the copies, then the tokens.
  throw_if_error(copy_pages(copies, cache.pool, kFormat, cache.executor));
  std::vector<std::int64_t> slots(tokens.size());
  throw_if_error(cache.allocator.slots(sequence, first, slots));
  const std::vector<float> latent = rows_of(tokens, kLatent), rope = rows_of(tokens, kRope);
  throw_if_error(append({.latent = {latent.data(), DType::kFloat32, {n, 1, kLatent}},
                         .rope = {rope.data(), DType::kFloat32, {n, 1, kRope}},
                         .slot_mapping = {slots.data(), DType::kInt64, {n}},
                         .kv_cache = cache.pool},
                        kFormat, cache.executor));
  for (const PageCopy& copy : copies) {
    std::printf("  %d tokens copied from page %d to %d\n", copy.num_tokens, copy.from_page,
                copy.to_page);
  }
  return Status::ok();
}

void print(const Cache& cache, const char* name, SequenceId sequence) {
  std::string pages;
  for (const std::int32_t page : cache.allocator.pages(sequence)) {
    pages += " " + std::to_string(page);
  }
  std::printf("%-8s %2lld tokens in pages%s; %d of %d pages free\n", name,
              static_cast<long long>(cache.allocator.num_tokens(sequence)), pages.c_str(),
              cache.allocator.num_free_pages(), kNumPages);
}

// One query token of each request against all its tokens; a query of zeros weighs them equally.
std::vector<float> attend(Cache& cache, const std::vector<SequenceId>& requests) {
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> block_table(requests.size() * kNumPages, -1);  // [b, max_pages]
  for (std::size_t i = 0; i < requests.size(); ++i) {
    lengths.push_back(static_cast<std::int32_t>(cache.allocator.num_tokens(requests[i])));
    const auto pages = cache.allocator.pages(requests[i]);
    std::copy(pages.begin(), pages.end(),
              block_table.begin() + static_cast<std::ptrdiff_t>(i * kNumPages));
  }

  const auto b = static_cast<std::int64_t>(requests.size());
  const AttentionProblem problem{.batch = b,
                                 .h_q = kHeads,
                                 .d_qk = kDim,
                                 .d_v = kLatent,
                                 .page_size = kPageSize,
                                 .q_dtype = DType::kFloat32,
                                 .out_dtype = DType::kFloat32,
                                 .kv_format = kFormat};
  const WorkPlan work = plan(problem, probe_cpu().value(), lengths).value();
  const std::unique_ptr<void, decltype(&std::free)> workspace(
      std::aligned_alloc(64, (work.workspace_bytes + 63) / 64 * 64), std::free);
  const std::vector<float> q(static_cast<std::size_t>(b * kHeads * kDim), 0.0f);
  std::vector<float> out(static_cast<std::size_t>(b * kHeads * kLatent));
  DecodeArgs args;
  args.q = {q.data(), DType::kFloat32, {b, 1, kHeads, kDim}};
  args.cache.kv_cache = cache.pool;
  args.cache.block_table = {block_table.data(), DType::kInt32, {b, kNumPages}};
  args.out = {out.data(), DType::kFloat32, {b, 1, kHeads, kLatent}};
  args.workspace = {static_cast<std::byte*>(workspace.get()), work.workspace_bytes};
  throw_if_error(decode(work, args, cache.executor, DataCheck::kVerify));
  return out;
}

}  // namespace

int main() try {
  Cache cache;

  // A prompt of six tokens, answered twice: the second answer shares the prompt's pages.
  const SequenceId first = cache.allocator.create();
  throw_if_error(add_tokens(cache, first, {1, 2, 3, 4, 5, 6}));
  print(cache, "first", first);
  const SequenceId second = cache.allocator.fork(first).value();
  print(cache, "second", second);

  // Whoever writes into the shared, partly filled page gets one of its own.
  throw_if_error(add_tokens(cache, first, {7}));
  print(cache, "first", first);
  throw_if_error(add_tokens(cache, second, {70}));
  print(cache, "second", second);

  // Speculative tokens that were rejected are cut off again.
  throw_if_error(add_tokens(cache, first, {8, 9, 10}));
  throw_if_error(cache.allocator.truncate(first, 7));
  print(cache, "first", first);

  // Another request comes with the same first tokens, but the pool is too small for all three.
  const SequenceId third = cache.allocator.share_prefix(first, 4).value();
  const std::vector<float> question(14, 100.0f);
  const Status status = add_tokens(cache, third, question);
  std::printf("third: %s: %s\n", to_string(status.code()), status.message().c_str());
  if (status.code() == StatusCode::kOutOfPages) throw_if_error(cache.allocator.free(second));
  throw_if_error(add_tokens(cache, third, question));
  print(cache, "third", third);

  const std::vector<float> out = attend(cache, {first, third});
  std::printf("mean of the latents: first %.3f, third %.3f\n", out[0], out[kHeads * kLatent]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
