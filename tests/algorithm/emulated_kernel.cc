#include "emulated_kernel.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "algorithm/online_softmax.h"

namespace seesaw::testing {
namespace {

using algorithm::SoftmaxState;
using FloatRow = std::vector<float>;

float flush(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

/// Cut towards zero to a multiple of 2^exponent.
double cut(double x, int exponent) {
  return std::ldexp(std::trunc(std::ldexp(x, -exponent)), exponent);
}

/// One operation of a tensor core: sum + Sum products. All addends are cut below fraction_bits
/// after the leading bit of the largest (a product's exponent being the sum of its factors'), added
/// exactly, and the result is cut to float32.
class TensorStep {
 public:
  TensorStep(float sum, int fraction_bits) : fraction_bits_(fraction_bits) {
    addends_.push_back(sum);
    if (sum != 0) exponent_ = std::ilogb(sum);
  }
  void add(float a, float b) {
    addends_.push_back(double{a} * b);
    if (a != 0 && b != 0) exponent_ = std::max(exponent_, std::ilogb(a) + std::ilogb(b));
  }
  float result() const {
    if (exponent_ == kNone) return 0;
    double sum = 0;
    for (double addend : addends_) sum += cut(addend, exponent_ - fraction_bits_);
    return sum == 0 ? 0.0f : static_cast<float>(cut(sum, std::ilogb(sum) - 23));
  }

 private:
  static constexpr int kNone = -10000;
  int fraction_bits_;
  int exponent_ = kNone;
  std::vector<double> addends_;
};

int fraction_bits(std::int64_t terms_per_step) { return terms_per_step >= 16 ? 25 : 24; }

float dot(const FloatRow& a, const FloatRow& b, DotOrder order, std::int64_t terms_per_step) {
  if (order == DotOrder::kSteps) {
    float sum = 0;
    for (std::size_t i = 0; i < a.size();) {
      TensorStep step(sum, fraction_bits(terms_per_step));
      for (std::int64_t term = 0; term < terms_per_step && i < a.size(); ++term, ++i)
        step.add(a[i], b[i]);
      sum = step.result();
    }
    return sum;
  }
  if (order == DotOrder::kSequential) {
    float sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum = std::fma(a[i], b[i], sum);
    return sum;
  }
  if (order == DotOrder::kPairs) {
    float sum = 0;
    for (std::size_t i = 0; i < a.size(); i += 2) {
      const float first = flush(a[i]) * flush(b[i]);  // exact: 8 times 8 bits
      const bool is_pair = i + 1 < a.size();
      const float second = is_pair ? flush(a[i + 1]) * flush(b[i + 1]) : 0.0f;
      sum = flush(sum + flush(first + second));
    }
    return sum;
  }
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < a.size(); ++i) lanes[i % 16] = std::fma(a[i], b[i], lanes[i % 16]);
  for (std::size_t width = 8; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

/// One row's states over ranges of keys.
class RowEmulator {
 public:
  RowEmulator(const AttentionProblem& problem, const Emulation& emulation, Rng& rng)
      : emulation_(emulation), d_v_(static_cast<std::size_t>(problem.d_v)), rng_(rng) {
    scale_ = algorithm::log2_scale(problem.scale());
    if (emulation.fault == Fault::kScaledByOnePercent) scale_ *= 1.01f;
  }

  /// A state of keys [begin, end) and its o.
  struct Partial {
    SoftmaxState<float> state;
    FloatRow o;
  };

  Partial absorb(const FloatRow& q, const std::vector<FloatRow>& keys, std::size_t begin,
                 std::size_t end) {
    Partial partial{{}, FloatRow(d_v_, 0.0f)};
    const auto block = static_cast<std::size_t>(emulation_.arithmetic.keys_per_block);
    for (std::size_t first = begin; first < end; first += block)
      absorb_block(q, keys, first, std::min(first + block, end), partial);
    return partial;
  }

 private:
  void absorb_block(const FloatRow& q, const std::vector<FloatRow>& keys, std::size_t begin,
                    std::size_t end, Partial& partial) {
    const algorithm::KernelArithmetic& arithmetic = emulation_.arithmetic;
    FloatRow scores;
    for (std::size_t j = begin; j < end; ++j)
      scores.push_back(dot(q, keys[j], emulation_.order, arithmetic.terms_per_step) * scale_);
    const float old_l = partial.state.l;
    const float block_max = *std::max_element(scores.begin(), scores.end());
    const bool is_near = block_max <= partial.state.m_log2 + static_cast<float>(arithmetic.max_lag);
    const float factor = is_near ? 1.0f : algorithm::raise_max(partial.state, block_max) * noise();
    partial.state.l = old_l * (emulation_.fault == Fault::kUnscaledSum ? 1.0f : factor);
    for (float& x : partial.o) x *= factor;

    float block_sum = 0;
    FloatRow weights;
    for (std::size_t j = begin; j < end; ++j) {
      const float exact = algorithm::weight(partial.state, scores[j - begin]) * noise();
      weights.push_back(rounded(exact));
      const bool sums_rounded =
          arithmetic.sums_rounded_weights && emulation_.fault != Fault::kUnroundedSum;
      block_sum += sums_rounded ? weights.back() : exact;
    }
    add_values(weights, keys, begin, partial.o);
    partial.state.l += block_sum;
  }

  float rounded(float weight) const {
    const double roundoff = emulation_.arithmetic.weight_roundoff;
    if (roundoff == 0) return weight;
    return roundoff < 0x1p-8 ? float(Float16(weight)) : float(BFloat16(weight));
  }

  void add_values(const FloatRow& weights, const std::vector<FloatRow>& keys, std::size_t begin,
                  FloatRow& o) const {
    const std::size_t shift = emulation_.fault == Fault::kShiftedValue ? 1 : 0;
    const std::int64_t terms_per_step = emulation_.arithmetic.terms_per_step;
    for (std::size_t d = 0; d < d_v_; ++d) {
      if (emulation_.order != DotOrder::kSteps) {
        for (std::size_t j = 0; j < weights.size(); ++j)
          o[d] = std::fma(weights[j], keys[begin + j][d + shift], o[d]);
        continue;
      }
      for (std::size_t j = 0; j < weights.size();) {
        TensorStep step(o[d], fraction_bits(terms_per_step));
        for (std::int64_t term = 0; term < terms_per_step && j < weights.size(); ++term, ++j)
          step.add(weights[j], keys[begin + j][d + shift]);
        o[d] = step.result();
      }
    }
  }

  float noise() {
    const double error = emulation_.arithmetic.exp2_error - 0x1p-24;  // of 2^x itself
    return static_cast<float>(1 + std::uniform_real_distribution<double>(-error, error)(rng_) / 2);
  }

  Emulation emulation_;
  std::size_t d_v_;
  float scale_;
  Rng& rng_;
};

FloatRow read_floats(const StridedArray& array, std::int64_t offset, std::int64_t count) {
  FloatRow row;
  for (std::int64_t i = 0; i < count; ++i)
    row.push_back(static_cast<float>(array.read(offset + i)));
  return row;
}

double round_to(DType dtype, float x) {
  if (dtype == DType::kBFloat16) return float(BFloat16(x));
  if (dtype == DType::kFloat16) return float(Float16(x));
  return x;
}

void emulate_row(AttentionCase& attention_case, const Emulation& emulation, const FloatRow& q,
                 std::vector<FloatRow> keys, float sink, Rng& rng, EmulatedOutputs& outputs) {
  const AttentionProblem& problem = attention_case.problem();
  if (emulation.fault == Fault::kDroppedKey && !keys.empty())
    keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 2));
  if (emulation.fault == Fault::kRepeatedKey && !keys.empty()) keys.push_back(keys.back());

  RowEmulator emulator(problem, emulation, rng);
  const auto num_splits =
      static_cast<std::size_t>(std::max<std::int64_t>(1, emulation.arithmetic.num_splits));
  RowEmulator::Partial total{{}, FloatRow(static_cast<std::size_t>(problem.d_v), NAN)};
  for (std::size_t split = 0; split < num_splits; ++split) {
    if (emulation.fault == Fault::kLostMerge && split > 0 && split + 1 == num_splits) break;
    const auto part = emulator.absorb(q, keys, keys.size() * split / num_splits,
                                      keys.size() * (split + 1) / num_splits);
    algorithm::merge<float>(total.state, total.o, part.state, part.o);
  }
  const auto result = algorithm::finalize(total.state, sink);
  for (float x : total.o)
    outputs.out.push_back(
        round_to(problem.out_dtype, result.o_factor == 0 ? 0.0f : x * result.o_factor));
  outputs.lse.push_back(result.lse);
  outputs.max_logits.push_back(result.max_logit);
}

}  // namespace

EmulatedOutputs emulate_kernel(AttentionCase& attention_case, const Emulation& emulation,
                               Rng& rng) {
  const AttentionProblem& p = attention_case.problem();
  EmulatedOutputs outputs;
  const StridedArray& cache = attention_case.kv_cache();
  const StridedArray& table = attention_case.block_table();
  for (std::int64_t request = 0; request < p.batch; ++request) {
    const std::int64_t length = attention_case.spec().kv_lengths[static_cast<std::size_t>(request)];
    for (std::int64_t query = 0; query < p.s_q; ++query) {
      const std::int64_t num_keys = p.mask == Mask::kCausal ? length - p.s_q + 1 + query : length;
      for (std::int64_t head = 0; head < p.h_q; ++head) {
        std::vector<FloatRow> keys;
        for (std::int64_t key = 0; key < num_keys; ++key) {
          const auto page = table.read(table.offset({request, key / p.page_size}));
          keys.push_back(read_floats(cache,
                                     cache.offset({static_cast<std::int64_t>(page),
                                                   key % p.page_size, head / p.group_size(), 0}),
                                     p.d_qk));
        }
        const FloatRow q = read_floats(
            attention_case.q(), attention_case.q().offset({request, query, head, 0}), p.d_qk);
        const StridedArray& sinks = attention_case.attn_sink();
        const float sink =
            p.has_attn_sink ? static_cast<float>(sinks.read(sinks.offset({head}))) : -INFINITY;
        emulate_row(attention_case, emulation, q, std::move(keys), sink, rng, outputs);
      }
    }
  }
  return outputs;
}

}  // namespace seesaw::testing
