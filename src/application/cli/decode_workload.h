// Random data for a decode measurement, arranged so that keys come from memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cli/page_memory.h"
#include "seesaw/attention.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::cli {

/// How large the arrays of a decode workload are.
struct WorkloadSize {
  std::int64_t pages_per_request = 0;
  std::int64_t num_rounds = 0;  // calls that read different pages
  std::int64_t num_pages = 0;   // of the pool
  std::int64_t pool_bytes = 0;

  /// A pool at least twice as large as all caches of the device together, beyond one round's
  /// pages. Errors: kInvalidArgument where it and the other arrays do not fit the memory.
  static Result<WorkloadSize> of(const AttentionProblem& problem, std::int64_t kv_length,
                                 const DeviceSpec& device);
};

/// All arrays of one decode call, with as many block tables as the pool has rounds.
class DecodeWorkload {
 public:
  /// Fills everything; takes a second for some gigabytes. Throws std::bad_alloc.
  DecodeWorkload(const WorkPlan& plan, const WorkloadSize& size, std::uint64_t seed);

  /// The call that reads the pages of round call_idx % num_rounds.
  DecodeArgs call(std::int64_t call_idx);

  std::span<const std::byte> pool() const { return {pool_.data(), pool_.size()}; }
  std::span<const std::byte> query() const { return {query_.data(), query_.size()}; }
  std::span<const std::int32_t> block_tables() const { return block_tables_; }
  std::size_t out_bytes() const { return out_.size(); }

 private:
  AttentionProblem problem_;
  WorkloadSize size_;
  PageMemory pool_;
  PageMemory query_;
  PageMemory out_;
  PageMemory workspace_;
  std::vector<std::int32_t> block_tables_;  // [num_rounds, b, pages_per_request], all different
};

}  // namespace seesaw::cli
