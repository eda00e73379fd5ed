#include "algorithm/error_bounds.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace seesaw::algorithm {
namespace {

constexpr double kRoundoff = 0x1p-24;         // u, of float32
constexpr double kSmallestNormal = 0x1p-126;  // what flushing a subnormal can lose
constexpr double kLn2 = std::numbers::ln2;
constexpr double kDeviations = 8;  // lambda: 2 exp(-lambda^2 / 2) = 2.6e-14
// Beyond it a weight is below 2^-126 of the largest and may be flushed: bounded absolutely.
constexpr double kLargestRange = 126 * kLn2 + 1;

/// gamma_n: relative error after n roundings.
double gamma(double n) { return n * kRoundoff / (1 - n * kRoundoff); }

/// Its probabilistic companion for n roundings of mean zero.
double random_gamma(double n) { return std::expm1(kDeviations * std::sqrt(n) * kRoundoff); }

/// Relative error of a sum of products in which each term passes num_roundings roundings.
double sum_error(double num_roundings, ErrorModel model) {
  const double worst = gamma(num_roundings);
  return model == ErrorModel::kWorstCase ? worst : std::min(worst, random_gamma(num_roundings));
}

/// Relative error, against the sum of absolute terms, of num_terms products added by a tensor core.
double steps_error(double num_terms, const KernelArithmetic& arithmetic) {
  const double error =
      std::ceil(num_terms / static_cast<double>(arithmetic.terms_per_step)) * arithmetic.step_error;
  return error / (1 - error);
}

bool has_tensor_cores(const KernelArithmetic& arithmetic) { return arithmetic.terms_per_step > 1; }

/// Bounds of one row that sees keys; the symbols are those of docs/mla.md. Errors of the logarithm
/// of a weight are absolute, so that e^h is the factor by which the weight may be wrong.
struct RowBound {
  double score = 0;       // of a scaled score, natural units
  double shared_log = 0;  // h_s: part of h that may be the same of all keys
  double rounded_p = 0;   // of rounding P; part of shared_log in the worst case
  double random_dot = 0;  // standard bound of the independent part of a score; probabilistic only
  double random_p = 0;    // the same of the rounding of P
  double any_log = 0;     // h: of the logarithm of any one weight, all causes
  double flushed_p = 0;   // absolute, of all normalized weights together: P below its normal range
  double accumulation = 0;    // g: relative, of l
  double o_accumulation = 0;  // g_o: of o against the sum of absolute terms
  double weight_norm = 0;     // W2
  double lse = 0;
  double sink_factor = 0;  // relative, of f
  double division = 0;     // relative, of the last operations
  double flushed = 0;      // absolute, of each output element

  // What all elements of the row share of the formula for one.
  double grown = 1;           // of weights, and of the inverse of their sum
  double random_weights = 0;  // against deviation_norm
  double shared_weights = 0;  // against deviation
  double factor = 0;          // relative: of f, and of the last operations
};

/// Error of a scaled score; `scaling` of it is no rounding inside the dot product.
void bound_score(const RowSensitivity& row, double d_qk, const KernelArithmetic& arithmetic,
                 ErrorModel model, RowBound& bound) {
  const double flushed_products = d_qk * kSmallestNormal * (1 + 2 * row.max_abs_input);
  const double scaling = row.max_abs_product_sum * gamma(3) + flushed_products;
  // Partial sums lie about the straight line to the whole as a random walk does.
  const double walk =
      std::min(std::numbers::sqrt2 * std::hypot(row.max_product_norm, row.max_abs_logit),
               row.max_abs_product_sum);
  if (has_tensor_cores(arithmetic)) {  // truncation is one-sided: nothing cancels
    const double sums = model == ErrorModel::kWorstCase ? row.max_abs_product_sum : walk;
    bound.score = scaling + sums * steps_error(d_qk, arithmetic) * (1 + gamma(3));
    bound.shared_log = bound.score;
  } else if (model == ErrorModel::kWorstCase) {
    bound.score = row.max_abs_product_sum * gamma(d_qk + 3) + flushed_products;
    bound.shared_log = bound.score;
  } else {
    bound.random_dot = walk * std::sqrt(d_qk) * kRoundoff;
    bound.score = scaling + kDeviations * bound.random_dot;
    bound.shared_log = scaling;
  }
}

/// Roundings of weights' logarithms: from scores, from s - m, from 2^x, from rounding P.
void bound_weights(const RowSensitivity& row, const KernelArithmetic& arithmetic, ErrorModel model,
                   double num_rescales, RowBound& bound) {
  // m that lags makes s - m rise by the lag and m's own way to the end as much longer.
  const double way = std::min(row.logit_range, kLargestRange) + 2 * arithmetic.max_lag * kLn2;
  const double exponent = kRoundoff * way + (1 + num_rescales) * std::log1p(arithmetic.exp2_error);
  bound.rounded_p = -std::log1p(-arithmetic.weight_roundoff);
  bound.any_log = bound.score + exponent + bound.rounded_p;
  bound.shared_log += exponent;
  if (model == ErrorModel::kProbabilistic) bound.random_p = bound.rounded_p;
}

void bound_lse(const RowSensitivity& row, double lse, double max_logit,
               const KernelArithmetic& arithmetic, RowBound& bound) {
  // The rounding of P is not taken as independent here: scores close together round alike, which
  // moves the sum of their weights though not the average.
  const double rounded_p =
      arithmetic.sums_rounded_weights ? bound.rounded_p + bound.flushed_p : 0.0;
  const double weights =
      bound.shared_log + rounded_p + kDeviations * bound.random_dot * row.weight_norm;
  const double logarithm =
      arithmetic.log2_error * (kLn2 * (1 + arithmetic.max_lag) + std::max(0.0, lse - max_logit));
  const double flushed = static_cast<double>(row.num_keys) * kSmallestNormal;
  const double before_rounding = weights - std::log1p(-bound.accumulation) + logarithm + flushed;
  bound.lse = before_rounding + gamma(3) * (std::abs(lse) + before_rounding);
}

/// f = 1 / (1 + exp(sink - lse)).
void bound_sink_factor(const RowSensitivity& row, double lse, const KernelArithmetic& arithmetic,
                       RowBound& bound) {
  if (std::isinf(row.sink)) return;  // f is exactly 1 or 0
  const double excess = std::abs(row.sink - lse);
  const double exponent = bound.lse + gamma(3) * (std::abs(row.sink) + std::abs(lse) + excess) +
                          std::log1p(arithmetic.exp2_error);
  if (excess - exponent > 100) return;  // f is 1 or 0 but for a factor of e^-100, computed or not
  bound.sink_factor = std::expm1(std::min(1.0, row.sink_share * std::exp(exponent)) * exponent);
}

void bound_elements(ErrorModel model, RowBound& bound) {
  const double random_log = kDeviations * std::hypot(bound.random_dot, bound.random_p);
  const double shared_log =
      bound.shared_log + (model == ErrorModel::kWorstCase ? bound.rounded_p : 0.0);
  bound.grown = std::exp(bound.any_log);
  bound.random_weights = random_log * bound.grown * bound.grown;
  bound.shared_weights = std::expm1(shared_log) * bound.grown;
  bound.factor = bound.sink_factor + bound.division * (1 + bound.sink_factor);
}

RowBound bound_row(const ReferenceOutputs& reference, std::size_t r, double d_qk,
                   const KernelArithmetic& arithmetic, ErrorModel model) {
  const RowSensitivity& row = reference.rows[r];
  const auto num_keys = static_cast<double>(row.num_keys);
  const auto num_splits = static_cast<double>(arithmetic.num_splits);
  double num_rescales = std::ceil(num_keys / static_cast<double>(arithmetic.keys_per_block)) - 1;
  if (model == ErrorModel::kProbabilistic)  // scores that nearly tie may rise once more
    num_rescales = std::min(num_rescales, static_cast<double>(row.max_rises) + 1);
  if (num_splits > 1) num_rescales += num_splits;

  RowBound bound;
  bound.weight_norm = row.weight_norm;
  bound_score(row, d_qk, arithmetic, model, bound);
  bound_weights(row, arithmetic, model, num_rescales, bound);
  bound.accumulation = sum_error(num_keys + 1 + 2 * num_rescales, model);
  bound.o_accumulation = bound.accumulation;
  if (has_tensor_cores(arithmetic)) {  // each split ends with a step that is not full
    const auto terms_per_step = static_cast<double>(arithmetic.terms_per_step);
    const double steps = steps_error(num_keys + num_splits * terms_per_step, arithmetic);
    bound.o_accumulation = steps + (1 + steps) * sum_error(1 + 2 * num_rescales, model);
  }
  // A state's l is at least 1, or its m would not be a score: of the whole row it is exp(lse -
  // max).
  const double num_flushed = model == ErrorModel::kWorstCase
                                 ? num_keys
                                 : std::min(num_keys, kDeviations * std::sqrt(num_keys));
  bound.flushed_p = num_flushed * arithmetic.weight_flushed *
                    std::exp(reference.max_logits[r] - reference.lse[r] + bound.any_log);
  bound.division = gamma(3) + arithmetic.division_error * (1 + gamma(3));
  bound_lse(row, reference.lse[r], reference.max_logits[r], arithmetic, bound);
  bound_sink_factor(row, reference.lse[r], arithmetic, bound);
  bound.flushed = 4 * (num_keys + num_rescales) * kSmallestNormal * (1 + row.max_abs_input);
  bound_elements(model, bound);
  return bound;
}

/// Of element i (of all rows' outputs), before it is rounded to the output's type.
double bound_element(const ReferenceOutputs& reference, std::size_t i, const RowBound& bound,
                     double max_abs_input, const KernelArithmetic& arithmetic, ErrorModel model) {
  const double grown = bound.grown;
  const double out = std::abs(reference.out[i]);
  double weights = bound.shared_weights * reference.deviation[i] +
                   bound.random_weights * reference.deviation_norm[i] +
                   bound.flushed_p * grown * (max_abs_input + out);
  // o of rounded weights over l of unrounded ones: off by the mean of their roundings.
  if (!arithmetic.sums_rounded_weights) weights += arithmetic.weight_roundoff * (out + weights);
  double partial_sums = reference.abs_sum[i];
  if (model == ErrorModel::kProbabilistic) {  // as in a dot product
    const double walk = reference.deviation_norm[i] + out * bound.weight_norm;
    partial_sums = std::min(partial_sums, std::numbers::sqrt2 * std::hypot(walk, out));
  }
  const double sums =
      (bound.o_accumulation * grown * grown * partial_sums + bound.accumulation * (out + weights)) /
      (1 - bound.accumulation);
  const double unscaled = weights + sums;
  return unscaled + bound.factor * (out + unscaled) + bound.flushed;
}

}  // namespace

double unit_roundoff(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat32:
      return kRoundoff;
    case DType::kBFloat16:
      return 0x1p-8;
    case DType::kFloat16:
      return 0x1p-11;
    default:
      return 0;
  }
}

KernelArithmetic tensor_core_arithmetic(DType dtype, int sm_arch) noexcept {
  KernelArithmetic arithmetic;
  arithmetic.weight_roundoff = unit_roundoff(dtype);
  if (dtype == DType::kFloat16) arithmetic.weight_flushed = 0x1p-25;
  // Addends are cut below the 25th bit (Ampere, Ada: 24th) after the leading one of the largest,
  // and the sum below the 23rd after its own.
  arithmetic.terms_per_step = sm_arch >= 90 ? 16 : 8;
  const double cut = sm_arch >= 90 ? 0x1p-25 : 0x1p-24;
  arithmetic.step_error = static_cast<double>(arithmetic.terms_per_step) * cut + 0x1p-23;
  arithmetic.division_error = 0x1p-22;
  return arithmetic;
}

ErrorBounds error_bounds(const ReferenceOutputs& reference, const AttentionProblem& problem,
                         const KernelArithmetic& arithmetic, ErrorModel model) {
  const auto num_rows = static_cast<std::size_t>(reference.num_rows);
  const auto d_v = static_cast<std::size_t>(reference.d_v);
  const auto d_qk = static_cast<double>(problem.d_qk);
  // A float32 result is rounded by its last operation, which bound_element counts already.
  const double out_roundoff =
      problem.out_dtype == DType::kFloat32 ? 0.0 : unit_roundoff(problem.out_dtype);
  const double out_flushed = problem.out_dtype == DType::kFloat16 ? 0x1p-25 : kSmallestNormal;
  std::vector<ErrorModel> models{ErrorModel::kWorstCase};
  if (model == ErrorModel::kProbabilistic) models.push_back(model);

  ErrorBounds bounds;
  bounds.out.resize(num_rows * d_v);
  bounds.lse.resize(num_rows);
  bounds.max_logits.resize(num_rows);
  for (std::size_t r = 0; r < num_rows; ++r) {
    if (reference.rows[r].num_keys == 0) continue;  // exact
    for (ErrorModel each : models) {
      const RowBound bound = bound_row(reference, r, d_qk, arithmetic, each);
      const auto lower = [&](double& smallest, double value) {
        smallest = each == models.front() ? value : std::min(smallest, value);
      };
      lower(bounds.lse[r], bound.lse);
      lower(bounds.max_logits[r], bound.score + gamma(2) * std::abs(reference.max_logits[r]));
      for (std::size_t i = r * d_v; i < (r + 1) * d_v; ++i) {
        const double error =
            bound_element(reference, i, bound, reference.rows[r].max_abs_input, arithmetic, each);
        const double rounding = out_roundoff * (std::abs(reference.out[i]) + error);
        lower(bounds.out[i], error + rounding + out_flushed);
      }
    }
  }
  return bounds;
}

}  // namespace seesaw::algorithm
