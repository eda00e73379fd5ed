// Comparison with the oracle of every row of a dense decode, by all cores: for results of devices,
// which are many.
#pragma once

#include <gtest/gtest.h>

#include "algorithm/error_bounds.h"
#include "support/attention_case.h"
#include "support/compare.h"

namespace seesaw::testing {

/// Checks the case's host outputs against `reference`, the oracle's result for the case or for
/// shorter lengths of it: out and lse within the bounds at every row, NaN nowhere. A failure names
/// the first row that differs. The agreements become the worst of any row.
::testing::AssertionResult check_every_row(const AttentionCase& attention_case,
                                           const algorithm::ReferenceOutputs& reference,
                                           const algorithm::KernelArithmetic& arithmetic,
                                           Agreement* out = nullptr, Agreement* lse = nullptr);

}  // namespace seesaw::testing
