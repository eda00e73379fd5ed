#include "support/oracle_check.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

namespace seesaw::testing {
namespace {

constexpr double kRelative = 1e-11;  // of sums of a few thousand terms, each within 1e-15 or so

template <typename T>
T one_of(Rng& rng, std::initializer_list<T> values) {
  return values.begin()[uniform(rng, 0, static_cast<std::int64_t>(values.size()) - 1)];
}

bool is_near(double actual, double expected, double size) {
  if (actual == expected) return true;                              // infinities too
  return std::abs(actual - expected) <= kRelative * size + 1e-290;  // false of NaN
}

/// Elements of [num_rows, d_v]; sizes: what their errors are relative to.
std::string difference_of(const char* name, const std::vector<double>& actual,
                          const std::vector<double>& expected, const std::vector<double>& sizes) {
  if (actual.size() != expected.size())
    return fmt::format("{} has {} elements, must have {}", name, actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!is_near(actual[i], expected[i], sizes[i]))
      return fmt::format("{}[{}] is {:.17g}, must be {:.17g}", name, i, actual[i], expected[i]);
  }
  return "";
}

std::string difference_of(std::size_t row_idx, const algorithm::RowSensitivity& actual,
                          const algorithm::RowSensitivity& expected) {
  const struct {
    const char* name;
    double actual, expected, size;
  } numbers[] = {
      {"num_keys", static_cast<double>(actual.num_keys), static_cast<double>(expected.num_keys), 0},
      {"max_rises", static_cast<double>(actual.max_rises), static_cast<double>(expected.max_rises),
       0},
      {"max_abs_product_sum", actual.max_abs_product_sum, expected.max_abs_product_sum,
       expected.max_abs_product_sum},
      {"max_product_norm", actual.max_product_norm, expected.max_product_norm,
       expected.max_product_norm},
      {"max_abs_logit", actual.max_abs_logit, expected.max_abs_logit, expected.max_abs_product_sum},
      {"logit_range", actual.logit_range, expected.logit_range, expected.max_abs_product_sum},
      {"weight_norm", actual.weight_norm, expected.weight_norm, 1},
      {"sink", actual.sink, expected.sink, 0},
      {"sink_share", actual.sink_share, expected.sink_share, 1},
      // Without keys it is of no use, and the oracles need not agree.
      {"max_abs_input", actual.max_abs_input,
       expected.num_keys == 0 ? actual.max_abs_input : expected.max_abs_input, 0},
  };
  for (const auto& number : numbers) {
    if (!is_near(number.actual, number.expected, number.size))
      return fmt::format("rows[{}].{} is {:.17g}, must be {:.17g}", row_idx, number.name,
                         number.actual, number.expected);
  }
  return "";
}

}  // namespace

CaseSpec random_oracle_spec(Rng& rng, std::int64_t most_keys) {
  CaseSpec spec;
  AttentionProblem& p = spec.problem;
  p.s_q = uniform(rng, 1, 4);
  p.h_kv = one_of<std::int64_t>(rng, {1, 1, 2, 3});
  p.h_q = p.h_kv * uniform(rng, 1, 5);
  p.d_qk = uniform(rng, 1, 70);
  p.d_v = uniform(rng, 1, p.d_qk);
  p.page_size = one_of<std::int64_t>(rng, {1, 3, 16, 64});
  p.mask = one_of(rng, {Mask::kNone, Mask::kCausal});
  p.has_attn_sink = uniform(rng, 0, 1) == 1;
  const DType dtype = one_of(rng, {DType::kBFloat16, DType::kFloat16, DType::kFloat32});
  p.q_dtype = p.out_dtype = dtype;
  p.kv_format = *plain_format(dtype);
  if (uniform(rng, 0, 1) == 1) p.softmax_scale = one_of(rng, {0.0f, 0.1f, -0.3f});
  if (p.has_attn_sink && uniform(rng, 0, 2) == 0) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (std::int64_t head = 0; head < p.h_q; ++head)
      spec.attn_sink.push_back(one_of(rng, {kInfinity, -kInfinity, 1e38f, -1e38f, 0.0f, 9.0f}));
  }
  const std::int64_t batch = uniform(rng, 1, 4);
  for (std::int64_t i = 0; i < batch; ++i)
    spec.kv_lengths.push_back(
        static_cast<std::int32_t>(uniform(rng, 0, 3) == 0 ? 0 : uniform(rng, 1, most_keys)));
  spec.layout = one_of(rng, {Layout::kCompact, Layout::kGaps, Layout::kAlignedGaps});
  spec.shape = one_of(rng, {ScoreShape::kNormal, ScoreShape::kDominantFirst,
                            ScoreShape::kDominantLast, ScoreShape::kRising, ScoreShape::kOffset,
                            ScoreShape::kEqualKeys, ScoreShape::kEqualValues});
  spec.shift = one_of(rng, {6.0, 60.0, -300.0});
  return spec;
}

std::string difference_of_oracles(const algorithm::ReferenceOutputs& actual,
                                  const algorithm::ReferenceOutputs& expected) {
  if (actual.num_rows != expected.num_rows || actual.d_v != expected.d_v)
    return fmt::format("is [{}, {}], must be [{}, {}]", actual.num_rows, actual.d_v,
                       expected.num_rows, expected.d_v);
  std::vector<double> logits;
  for (std::size_t row = 0; row < expected.rows.size(); ++row) {
    std::string difference = difference_of(row, actual.rows[row], expected.rows[row]);
    if (!difference.empty()) return difference;
    logits.push_back(1 + expected.rows[row].max_abs_product_sum);
  }
  const std::vector<double>& sizes = expected.abs_sum;
  std::string difference = difference_of("lse", actual.lse, expected.lse, logits);
  if (difference.empty())
    difference = difference_of("max_logits", actual.max_logits, expected.max_logits, logits);
  if (difference.empty()) difference = difference_of("out", actual.out, expected.out, sizes);
  if (difference.empty())
    difference = difference_of("abs_sum", actual.abs_sum, expected.abs_sum, sizes);
  if (difference.empty())
    difference = difference_of("deviation", actual.deviation, expected.deviation, sizes);
  if (difference.empty())
    difference =
        difference_of("deviation_norm", actual.deviation_norm, expected.deviation_norm, sizes);
  return difference;
}

}  // namespace seesaw::testing
