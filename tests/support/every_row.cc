#include "support/every_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "support/parallel.h"
#include "support/run_case.h"

namespace seesaw::testing {
namespace {

constexpr std::int64_t kRowsAtOnce = 32;

/// Rows [first, first + count) as outputs of their own.
algorithm::ReferenceOutputs rows_of(const algorithm::ReferenceOutputs& from, std::int64_t first,
                                    std::int64_t count) {
  const auto part = [&](const auto& array, std::int64_t width) {
    const auto begin = array.begin() + first * width;
    return std::decay_t<decltype(array)>(begin, begin + count * width);
  };
  algorithm::ReferenceOutputs rows;
  rows.num_rows = count;
  rows.d_v = from.d_v;
  rows.lse = part(from.lse, 1);
  rows.max_logits = part(from.max_logits, 1);
  rows.rows = part(from.rows, 1);
  rows.out = part(from.out, from.d_v);
  rows.abs_sum = part(from.abs_sum, from.d_v);
  rows.deviation = part(from.deviation, from.d_v);
  rows.deviation_norm = part(from.deviation_norm, from.d_v);
  return rows;
}

void join(Agreement& total, const Agreement& part) {
  total.max_abs_error = std::max(total.max_abs_error, part.max_abs_error);
  total.max_bound_share = std::max(total.max_bound_share, part.max_bound_share);
  total.cosine = std::min(total.cosine, part.cosine);
  if (std::abs(part.gain - 1) > std::abs(total.gain - 1)) total.gain = part.gain;
}

/// What some rows were found to be.
struct Finding {
  std::int64_t first_wrong = std::numeric_limits<std::int64_t>::max();
  std::string message;
  Agreement out;
  Agreement lse;

  void add(const Finding& other) {
    if (other.first_wrong < first_wrong) {
      first_wrong = other.first_wrong;
      message = other.message;
    }
    join(out, other.out);
    join(lse, other.lse);
  }
};

class RowChecker {
 public:
  RowChecker(const AttentionCase& attention_case, const algorithm::ReferenceOutputs& reference,
             const algorithm::KernelArithmetic& arithmetic)
      : case_(attention_case),
        reference_(reference),
        arithmetic_(arithmetic),
        model_(error_model_of(attention_case.spec())) {}

  Finding check(std::int64_t first, std::int64_t count) const {
    const auto expected = rows_of(reference_, first, count);
    const auto bounds = algorithm::error_bounds(expected, case_.problem(), arithmetic_, model_);
    Finding finding;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto result = check_row(expected, bounds, first, i, finding);
      if (result || finding.first_wrong <= first + i) continue;
      finding.first_wrong = first + i;
      finding.message = result.message();
    }
    return finding;
  }

 private:
  ::testing::AssertionResult check_row(const algorithm::ReferenceOutputs& expected,
                                       const algorithm::ErrorBounds& bounds, std::int64_t first,
                                       std::int64_t i, Finding& finding) const {
    const AttentionProblem& p = case_.problem();
    const std::int64_t token = (first + i) / p.h_q;
    const std::int64_t request = token / p.s_q;
    const std::int64_t query = token % p.s_q;
    const std::int64_t head = (first + i) % p.h_q;
    const StridedArray& outputs = case_.out_array();
    const std::int64_t begin = outputs.offset({request, query, head, 0});
    std::vector<double> actual(static_cast<std::size_t>(p.d_v));
    for (std::int64_t d = 0; d < p.d_v; ++d)
      actual[static_cast<std::size_t>(d)] = outputs.read(begin + d);
    const StridedArray& lses = case_.lse_array();
    const double lse = lses.read(lses.offset({request, head, query}));

    const auto row_of = [&](const std::vector<double>& array, std::int64_t width) {
      return std::span(array).subspan(static_cast<std::size_t>(i * width),
                                      static_cast<std::size_t>(width));
    };
    Agreement agreement;
    auto result = compare("out", actual, row_of(expected.out, p.d_v), row_of(bounds.out, p.d_v),
                          {p.d_v}, &agreement);
    join(finding.out, agreement);
    if (result) {
      result = compare("lse", {&lse, 1}, row_of(expected.lse, 1), row_of(bounds.lse, 1), {1},
                       &agreement);
      join(finding.lse, agreement);
    }
    // compare() takes NaN for NaN: the inputs that a row may see have none.
    const auto is_nan = [](double x) { return std::isnan(x); };
    if (result && (is_nan(lse) || std::any_of(actual.begin(), actual.end(), is_nan)))
      result = ::testing::AssertionFailure() << "is NaN, and so is the oracle's result";
    if (result) return result;
    return ::testing::AssertionFailure()
           << fmt::format("request {}, query {}, head {} of {} keys: {}", request, query, head,
                          expected.rows[static_cast<std::size_t>(i)].num_keys, result.message());
  }

  const AttentionCase& case_;
  const algorithm::ReferenceOutputs& reference_;
  const algorithm::KernelArithmetic& arithmetic_;
  algorithm::ErrorModel model_;
};

}  // namespace

::testing::AssertionResult check_every_row(const AttentionCase& attention_case,
                                           const algorithm::ReferenceOutputs& reference,
                                           const algorithm::KernelArithmetic& arithmetic,
                                           Agreement* out, Agreement* lse) {
  if (reference.num_rows != attention_case.num_rows())
    return ::testing::AssertionFailure() << "the oracle has " << reference.num_rows << " rows, the "
                                         << "case " << attention_case.num_rows();
  const RowChecker checker(attention_case, reference, arithmetic);
  Finding total;
  std::mutex mutex;
  for_each_part(reference.num_rows, kRowsAtOnce, [&](std::int64_t first, std::int64_t count) {
    const Finding finding = checker.check(first, count);
    const std::scoped_lock lock(mutex);
    total.add(finding);
  });
  if (out != nullptr) *out = total.out;
  if (lse != nullptr) *lse = total.lse;
  if (total.message.empty()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << total.message << "\n  in " << to_string(attention_case.spec())
         << "\n  SEESAW_TEST_SEED=" << test_seed();
}

}  // namespace seesaw::testing
