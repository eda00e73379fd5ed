// Comparison with the oracle of some query rows only, where all of them would take minutes.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

#include "algorithm/error_bounds.h"
#include "support/attention_case.h"
#include "support/compare.h"

namespace seesaw::testing {

struct SampledRow {
  std::int64_t request_idx = 0;
  std::int64_t query_idx = 0;
  std::int64_t head_idx = 0;
};

/// Rows of a dense decode whose keys add up to at most key_budget, but at least two; all rows where
/// the budget allows. Rows at the ends of tiles of 64 come first, the others at random.
std::vector<SampledRow> sample_rows(const AttentionCase& attention_case,
                                    std::span<const std::int32_t> kv_lengths,
                                    std::int64_t key_budget, Rng& rng);

/// Checks the case's host outputs at `rows` against the oracle, for requests of `kv_lengths` (the
/// case's own, or shorter ones), and that no output anywhere is NaN.
::testing::AssertionResult check_rows(const AttentionCase& attention_case,
                                      std::span<const std::int32_t> kv_lengths,
                                      std::span<const SampledRow> rows,
                                      const algorithm::KernelArithmetic& arithmetic,
                                      Agreement* out = nullptr, Agreement* lse = nullptr);

}  // namespace seesaw::testing
