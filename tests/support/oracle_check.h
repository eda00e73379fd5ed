// What tests of another way to compute the oracle share: hostile random cases, and a comparison.
#pragma once

#include <string>

#include "algorithm/reference_attention.h"
#include "support/attention_case.h"

namespace seesaw::testing {

/// A small dense decode with any mask, sink, KV heads, types, dimensions, pages, layout and
/// distribution of scores; up to 4 requests of up to most_keys keys, some of them none.
CaseSpec random_oracle_spec(Rng& rng, std::int64_t most_keys);

/// Empty where both agree in every number, but for roundings of float64; else the first that does
/// not.
std::string difference_of_oracles(const algorithm::ReferenceOutputs& actual,
                                  const algorithm::ReferenceOutputs& expected);

}  // namespace seesaw::testing
