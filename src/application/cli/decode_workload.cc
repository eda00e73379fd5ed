#include "cli/decode_workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "report/units.h"

namespace seesaw::cli {
namespace {

constexpr double kMemoryShare = 0.8;  // of the machine's, for everything that is allocated

Status too_large(double bytes, const std::string& limit) {
  // Beyond 2^63 the exact size is of no interest.
  const auto shown = static_cast<std::int64_t>(std::min(bytes, 9e18));
  return {StatusCode::kInvalidArgument,
          fmt::format("bench decode: the arrays of this size take {}, must fit {}",
                      report::bytes_text(shown), limit)};
}

/// Bytes that all caches of the device hold together.
double cache_bytes_of(const DeviceSpec& device) {
  if (device.kind == DeviceKind::kCuda) return static_cast<double>(device.l2_bytes);
  return static_cast<double>(device.num_workers * (device.l1_bytes + device.l2_bytes) +
                             device.l3_bytes);
}

DType element_type(const AttentionProblem& problem) {
  return plain_dtype(problem.kv_format).value();
}

}  // namespace

Result<WorkloadSize> WorkloadSize::of(const AttentionProblem& problem, std::int64_t kv_length,
                                      const DeviceSpec& device) {
  // In double: sizes within the options' limits may exceed 2^63 together.
  const auto element_bytes = static_cast<double>(size_bytes(element_type(problem)));
  const auto batch = static_cast<double>(problem.batch);
  WorkloadSize size;
  size.pages_per_request =
      std::max<std::int64_t>(1, (kv_length + problem.page_size - 1) / problem.page_size);
  const double page_bytes =
      static_cast<double>(problem.page_size * problem.h_kv * problem.d_qk) * element_bytes;
  const double round_pages = batch * static_cast<double>(size.pages_per_request);
  const double cache_bytes = cache_bytes_of(device);
  const double rounds = 1.0 + std::ceil(2.0 * cache_bytes / (round_pages * page_bytes));
  const double pages = rounds * round_pages;
  const double rows = batch * static_cast<double>(problem.s_q * problem.h_q);
  const double query_bytes = rows * static_cast<double>(problem.d_qk + problem.d_v) * element_bytes;
  const double total = pages * (page_bytes + sizeof(std::int32_t)) + query_bytes;
  if (device.memory_bytes > 0 && total > kMemoryShare * static_cast<double>(device.memory_bytes)) {
    return too_large(total, fmt::format("{:.0f} % of this machine's {}", kMemoryShare * 100.0,
                                        report::bytes_text(device.memory_bytes)));
  }
  if (total > 9e18 || pages > std::numeric_limits<std::int32_t>::max()) {
    return too_large(total, "2,147,483,647 pages");
  }
  size.num_rounds = static_cast<std::int64_t>(rounds);
  size.num_pages = static_cast<std::int64_t>(pages);
  size.pool_bytes = static_cast<std::int64_t>(pages * page_bytes);
  return size;
}

DecodeWorkload::DecodeWorkload(const WorkPlan& plan, const WorkloadSize& size, std::uint64_t seed)
    : problem_(plan.problem), size_(size), block_tables_(static_cast<std::size_t>(size.num_pages)) {
  const DType dtype = element_type(problem_);
  const std::int64_t rows = problem_.batch * problem_.s_q * problem_.h_q;
  pool_ = random_values(dtype, size.num_pages * problem_.page_size * problem_.h_kv * problem_.d_qk,
                        seed);
  query_ = random_values(dtype, rows * problem_.d_qk, seed + 1);
  out_ = PageMemory(rows * problem_.d_v * static_cast<std::int64_t>(size_bytes(dtype)));
  workspace_ = PageMemory(static_cast<std::int64_t>(plan.workspace_bytes));
  std::iota(block_tables_.begin(), block_tables_.end(), 0);
  std::mt19937_64 generator(seed + 2);
  std::shuffle(block_tables_.begin(), block_tables_.end(), generator);
}

DecodeArgs DecodeWorkload::call(std::int64_t call_idx) {
  const DType dtype = element_type(problem_);
  const std::int64_t round_pages = problem_.batch * size_.pages_per_request;
  const std::int64_t first = call_idx % size_.num_rounds * round_pages;
  DecodeArgs args;
  args.q = {query_.data(), dtype, {problem_.batch, problem_.s_q, problem_.h_q, problem_.d_qk}};
  args.cache.kv_cache = {
      pool_.data(), dtype, {size_.num_pages, problem_.page_size, problem_.h_kv, problem_.d_qk}};
  args.cache.block_table = {
      block_tables_.data() + first, DType::kInt32, {problem_.batch, size_.pages_per_request}};
  args.out = {out_.data(), dtype, {problem_.batch, problem_.s_q, problem_.h_q, problem_.d_v}};
  args.workspace = {workspace_.data(), workspace_.size()};
  return args;
}

}  // namespace seesaw::cli
