#include "support/sampled_rows.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "support/run_case.h"

namespace seesaw::testing {
namespace {

using RowPlace = std::tuple<std::int64_t, std::int64_t, std::int64_t>;

/// Keys that the row's query token sees.
std::int64_t visible_keys(const AttentionProblem& problem, std::int32_t kv_length,
                          std::int64_t query_idx) {
  const std::int64_t hidden = problem.mask == Mask::kCausal ? problem.s_q - 1 - query_idx : 0;
  return std::max<std::int64_t>(0, kv_length - hidden);
}

/// The row alone, as a call of one request with one query token and one head.
algorithm::ReferenceInputs inputs_of_row(const AttentionCase& attention_case, const SampledRow& row,
                                         const std::int32_t& num_keys) {
  algorithm::ReferenceInputs inputs = attention_case.reference_inputs();
  const std::int64_t kv_head_idx = row.head_idx / inputs.problem.group_size();
  const auto narrow = [](ConstTensorView& view, int dim, std::int64_t place) {
    if (view.is_empty_argument()) return;
    const auto at = static_cast<std::size_t>(dim);
    view.data = static_cast<const std::byte*>(view.data) +
                place * view.step(dim) * static_cast<std::int64_t>(size_bytes(view.dtype));
    view.shape[at] = 1;
  };
  narrow(inputs.q, 0, row.request_idx);
  narrow(inputs.q, 1, row.query_idx);
  narrow(inputs.q, 2, row.head_idx);
  narrow(inputs.kv_cache, 2, kv_head_idx);
  narrow(inputs.block_table, 0, row.request_idx);
  narrow(inputs.attn_sink, 0, row.head_idx);
  inputs.problem.batch = inputs.problem.s_q = inputs.problem.h_q = inputs.problem.h_kv = 1;
  inputs.problem.mask = Mask::kNone;
  inputs.kv_lengths = {&num_keys, 1};
  return inputs;
}

void join(Agreement* total, const Agreement& part) {
  if (total == nullptr) return;
  total->max_abs_error = std::max(total->max_abs_error, part.max_abs_error);
  total->max_bound_share = std::max(total->max_bound_share, part.max_bound_share);
  total->cosine = std::min(total->cosine, part.cosine);
  if (std::abs(part.gain - 1) > std::abs(total->gain - 1)) total->gain = part.gain;
}

::testing::AssertionResult check_row(const AttentionCase& attention_case, const SampledRow& row,
                                     std::int32_t kv_length,
                                     const algorithm::KernelArithmetic& arithmetic, Agreement* out,
                                     Agreement* lse) {
  const AttentionProblem& problem = attention_case.problem();
  const auto num_keys = static_cast<std::int32_t>(visible_keys(problem, kv_length, row.query_idx));
  const algorithm::ReferenceInputs inputs = inputs_of_row(attention_case, row, num_keys);
  const auto reference = algorithm::reference_attention(inputs);
  const auto bounds = algorithm::error_bounds(reference, inputs.problem, arithmetic,
                                              error_model_of(attention_case.spec()));
  std::vector<double> actual;
  const StridedArray& outputs = attention_case.out_array();
  const std::int64_t first = outputs.offset({row.request_idx, row.query_idx, row.head_idx, 0});
  for (std::int64_t d = 0; d < problem.d_v; ++d) actual.push_back(outputs.read(first + d));
  const StridedArray& lses = attention_case.lse_array();
  const double actual_lse = lses.read(lses.offset({row.request_idx, row.head_idx, row.query_idx}));

  Agreement agreement;
  auto result = compare("out", actual, reference.out, bounds.out, {problem.d_v}, &agreement);
  join(out, agreement);
  if (result) {
    result = compare("lse", {&actual_lse, 1}, reference.lse, bounds.lse, {1}, &agreement);
    join(lse, agreement);
  }
  if (result) return result;
  return ::testing::AssertionFailure()
         << "request " << row.request_idx << ", query " << row.query_idx << ", head "
         << row.head_idx << " of " << num_keys << " keys: " << result.message();
}

::testing::AssertionResult check_no_nan(const AttentionCase& attention_case) {
  const AttentionProblem& problem = attention_case.problem();
  const StridedArray& outputs = attention_case.out_array();
  for (std::int64_t request = 0; request < problem.batch; ++request)
    for (std::int64_t query = 0; query < problem.s_q; ++query)
      for (std::int64_t head = 0; head < problem.h_q; ++head) {
        const std::int64_t first = outputs.offset({request, query, head, 0});
        for (std::int64_t d = 0; d < problem.d_v; ++d) {
          if (std::isnan(outputs.read(first + d)))
            return ::testing::AssertionFailure()
                   << "out[" << request << ", " << query << ", " << head << ", " << d << "] is NaN";
        }
      }
  return ::testing::AssertionSuccess();
}

}  // namespace

std::vector<SampledRow> sample_rows(const AttentionCase& attention_case,
                                    std::span<const std::int32_t> kv_lengths,
                                    std::int64_t key_budget, Rng& rng) {
  const AttentionProblem& problem = attention_case.problem();
  const std::int64_t num_rows = problem.batch * problem.s_q * problem.h_q;
  std::vector<SampledRow> rows;
  if (num_rows == 0) return rows;
  std::int64_t all_keys = 0;
  for (std::int32_t length : kv_lengths) all_keys += problem.s_q * problem.h_q * length;
  const auto add_all = [&] {
    for (std::int64_t row = 0; row < num_rows; ++row)
      rows.push_back(
          {row / problem.h_q / problem.s_q, row / problem.h_q % problem.s_q, row % problem.h_q});
  };
  if (all_keys <= key_budget && num_rows <= key_budget) {
    add_all();
    return rows;
  }

  std::set<RowPlace> chosen;
  std::int64_t keys_left = key_budget;
  const auto add = [&](const SampledRow& row) {
    const std::int32_t length = kv_lengths[static_cast<std::size_t>(row.request_idx)];
    const std::int64_t cost = std::max<std::int64_t>(64, length);
    if (rows.size() >= 2 && cost > keys_left) return false;
    if (!chosen.insert({row.request_idx, row.query_idx, row.head_idx}).second) return true;
    keys_left -= cost;
    rows.push_back(row);
    return true;
  };
  // Rows of a (request, KV head) are numbered query * group_size + head in the group.
  const std::int64_t group = problem.group_size();
  const std::int64_t num_group_rows = problem.s_q * group;
  const auto add_group_row = [&](std::int64_t row) {
    const std::int64_t kv_head = uniform(rng, 0, problem.h_kv - 1);
    return add({uniform(rng, 0, problem.batch - 1), row / group, kv_head * group + row % group});
  };
  for (std::int64_t row : {std::int64_t{0}, num_group_rows - 1, std::int64_t{63}, std::int64_t{64},
                           std::int64_t{127}, std::int64_t{128}}) {
    if (row < num_group_rows) add_group_row(row);
  }
  for (std::int64_t tries = 0; tries < 4 * num_rows; ++tries) {
    if (!add_group_row(uniform(rng, 0, num_group_rows - 1))) break;
  }
  return rows;
}

::testing::AssertionResult check_rows(const AttentionCase& attention_case,
                                      std::span<const std::int32_t> kv_lengths,
                                      std::span<const SampledRow> rows,
                                      const algorithm::KernelArithmetic& arithmetic, Agreement* out,
                                      Agreement* lse) {
  auto result = check_no_nan(attention_case);
  for (const SampledRow& row : rows) {
    if (!result) break;
    result = check_row(attention_case, row, kv_lengths[static_cast<std::size_t>(row.request_idx)],
                       arithmetic, out, lse);
  }
  if (result) return result;
  return ::testing::AssertionFailure()
         << result.message() << "\n  in " << to_string(attention_case.spec())
         << "\n  SEESAW_TEST_SEED=" << test_seed();
}

}  // namespace seesaw::testing
