// Decodes one token of each of two requests, with the dimensions of DeepSeek-V3.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#include "seesaw/seesaw.h"

int main() {
  using namespace seesaw;
  const AttentionProblem problem{.batch = 2, .h_q = 16, .d_qk = 576, .d_v = 512, .page_size = 64};
  const std::vector<std::int32_t> lengths = {100, 3000};  // cached tokens of each request
  const WorkPlan work = plan(problem, probe_cpu().value(), lengths).value();
  std::puts(explain(work).c_str());

  // Yours in earnest: queries, the paged cache, and which pages hold each request's tokens.
  std::vector<BFloat16> q(2 * 16 * 576, BFloat16(1.0f)), out(2 * 16 * 512);
  std::vector<BFloat16> cache(94 * 64 * 576, BFloat16(0.5f));
  std::vector<std::int32_t> block_table(2 * 47);
  std::iota(block_table.begin(), block_table.end(), 0);
  const std::unique_ptr<void, decltype(&std::free)> workspace(
      std::aligned_alloc(64, work.workspace_bytes), std::free);

  DecodeArgs args;
  args.q = {q.data(), DType::kBFloat16, {2, 1, 16, 576}};
  args.cache.kv_cache = {cache.data(), DType::kBFloat16, {94, 64, 1, 576}};
  args.cache.block_table = {block_table.data(), DType::kInt32, {2, 47}};
  args.out = {out.data(), DType::kBFloat16, {2, 1, 16, 512}};
  args.workspace = {static_cast<std::byte*>(workspace.get()), work.workspace_bytes};
  Executor executor = Executor::cpu();
  throw_if_error(decode(work, args, executor));
  std::printf("out[0] = %.2f\n", static_cast<float>(out[0]));
}
