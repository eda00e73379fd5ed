// The functions that the device's oracle consists of give, on the host, what the oracle gives.
#include "support/oracle_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "support/attention_case.h"
#include "support/oracle_check.h"

namespace seesaw::testing {
namespace {

/// As device_oracle.cu has it, one thread after the other.
algorithm::ReferenceOutputs rows_on_host(const OracleCall& call, std::int64_t num_rows,
                                         int num_lanes) {
  algorithm::ReferenceOutputs outputs = empty_outputs(num_rows, call.d_v);
  for (std::int64_t row_idx = 0; row_idx < num_rows; ++row_idx) {
    const OracleRow row = row_at(call, row_idx);
    const std::int64_t num_keys = visible_keys(call, row);
    std::vector<OracleKey> keys;
    for (std::int64_t key_idx = 0; key_idx < num_keys; ++key_idx) {
      keys.push_back(score_key(call, row, key_idx, 0, num_lanes));
      for (int lane = 1; lane < num_lanes; ++lane)
        add_lane(keys.back(), score_key(call, row, key_idx, lane, num_lanes));
    }
    std::vector<double> chain(keys.size());
    const OracleRowResult result = weigh_keys(call, row, keys.data(), num_keys, chain.data());
    std::vector<OracleColumn> columns;
    for (std::int64_t d = 0; d < call.d_v; ++d)
      columns.push_back(attend_column(call, keys.data(), num_keys, result.kept, d));
    store_rows({&result, 1}, columns, row_idx, outputs);
  }
  return outputs;
}

TEST(OracleRow, GivesWhatTheOracleGives) {
  for (int round = 0; round < 150; ++round) {
    Rng rng = make_rng(static_cast<std::uint64_t>(round));
    AttentionCase attention_case(random_oracle_spec(rng, 40), rng);
    const algorithm::ReferenceInputs inputs = attention_case.reference_inputs();
    DecodeArgs args = attention_case.decode_args();
    const OracleCall call = oracle_call(inputs.problem, args, inputs.kv_lengths.data());
    const auto rows = rows_on_host(call, attention_case.num_rows(), round % 2 == 0 ? 32 : 1);
    ASSERT_EQ(difference_of_oracles(rows, attention_case.reference()), "")
        << to_string(attention_case.spec());
  }
}

TEST(OracleRow, CountsTheLongestChainOfRises) {
  const auto count = [](std::vector<double> logits, bool is_reversed) {
    std::vector<OracleKey> keys(logits.size());
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i].logit = logits[i];
    return count_rises(keys.data(), static_cast<std::int64_t>(keys.size()), is_reversed,
                       logits.data());
  };
  EXPECT_EQ(count({1}, false), 0);
  EXPECT_EQ(count({1, 2, 3, 4}, false), 3);
  EXPECT_EQ(count({1, 2, 3, 4}, true), 0);
  EXPECT_EQ(count({5, 1, 2, 1, 3, 4, 0}, false), 3);  // from the second key on
  EXPECT_EQ(count({5, 1, 2, 1, 3, 4, 0}, true), 2);
  EXPECT_EQ(count({2, 2, 2}, false), 0);
}

TEST(OracleRow, TheComparisonOfOraclesCanFail) {
  Rng rng = make_rng();
  CaseSpec spec;
  spec.problem.d_qk = spec.problem.d_v = 16;
  spec.problem.h_q = 2;
  spec.kv_lengths = {5, 0};
  AttentionCase attention_case(spec, rng);
  const algorithm::ReferenceOutputs& right = attention_case.reference();
  EXPECT_EQ(difference_of_oracles(right, right), "");
  algorithm::ReferenceOutputs wrong = right;
  wrong.out[17] += 1e-9 * right.abs_sum[17];  // of the output itself it may be too little to see
  EXPECT_NE(difference_of_oracles(wrong, right), "");
  wrong = right;
  wrong.deviation_norm[3] = std::nan("");
  EXPECT_NE(difference_of_oracles(wrong, right), "");
  wrong = right;
  wrong.lse[3] = 7;  // +inf of an empty row
  EXPECT_NE(difference_of_oracles(wrong, right), "");
  wrong = right;
  ++wrong.rows[1].max_rises;
  EXPECT_NE(difference_of_oracles(wrong, right), "");
}

}  // namespace
}  // namespace seesaw::testing
