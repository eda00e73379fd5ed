#include "support/attention_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/parallel.h"

namespace seesaw::testing {
namespace {

double normal(Rng& rng) { return std::normal_distribution<double>()(rng); }

const char* to_string(ScoreShape shape) {
  switch (shape) {
    case ScoreShape::kNormal:
      return "normal";
    case ScoreShape::kDominantFirst:
      return "dominant first";
    case ScoreShape::kDominantMiddle:
      return "dominant middle";
    case ScoreShape::kDominantLast:
      return "dominant last";
    case ScoreShape::kRising:
      return "rising";
    case ScoreShape::kOffset:
      return "offset";
    case ScoreShape::kEqualKeys:
      return "equal keys";
    case ScoreShape::kEqualValues:
      return "equal values";
  }
  return "unknown";
}

bool has_shift(ScoreShape shape) {
  return shape != ScoreShape::kNormal && shape != ScoreShape::kEqualKeys &&
         shape != ScoreShape::kEqualValues;
}

/// Rows of an array that a thread fills in one go.
constexpr std::int64_t kRowsAtOnce = 64;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::string to_string(const CaseSpec& spec) {
  const AttentionProblem& p = spec.problem;
  return fmt::format(
      "{} b {} s_q {} h_q {} h_kv {} d_qk {} d_v {} page_size {} q {} kv {} out {}{}{}{} scale "
      "{:g} "
      "scores {} (stddev {:g}, shift {:g}){} kv_lengths {} q_lengths {}",
      p.phase == Phase::kDecode ? "decode" : "prefill", p.batch, p.s_q, p.h_q, p.h_kv, p.d_qk,
      p.d_v, p.page_size, seesaw::to_string(p.q_dtype), seesaw::to_string(p.kv_format),
      seesaw::to_string(p.out_dtype), p.mask == Mask::kCausal ? " causal" : "",
      p.has_attn_sink ? " sink" : "",
      p.sparsity == Sparsity::kTopK ? fmt::format(" top_k {}", p.top_k) : "", p.scale(),
      to_string(spec.shape), spec.stddev, spec.shift,
      spec.layout == Layout::kCompact ? ""
      : spec.layout == Layout::kGaps  ? " gaps"
                                      : " aligned gaps",
      spec.kv_lengths, spec.q_lengths);
}

AttentionCase::AttentionCase(const CaseSpec& spec, Rng& rng) : spec_(spec) {
  AttentionProblem& problem = spec_.problem;
  problem.batch = static_cast<std::int64_t>(spec_.kv_lengths.size());
  num_tokens_ = problem.batch * problem.s_q;
  if (problem.phase == Phase::kPrefill) {
    num_tokens_ = std::accumulate(spec_.q_lengths.begin(), spec_.q_lengths.end(), std::int64_t{0});
    problem.s_q = spec_.q_lengths.empty()
                      ? 0
                      : *std::max_element(spec_.q_lengths.begin(), spec_.q_lengths.end());
  }
  direction_.assign(static_cast<std::size_t>(problem.d_qk), 0.0);
  double square_sum = 0;
  for (auto d = static_cast<std::size_t>(first_shifted_dim()); d < direction_.size(); ++d) {
    direction_[d] = normal(rng);
    square_sum += direction_[d] * direction_[d];
  }
  for (double& x : direction_) x /= std::sqrt(square_sum);

  allocate_arrays(rng);
  choose_pages(rng);
  for (std::int32_t length : spec_.kv_lengths)
    is_referenced_.emplace_back(static_cast<std::size_t>(length),
                                problem.sparsity == Sparsity::kDense);
  if (problem.sparsity == Sparsity::kTopK) choose_indices(rng);
  fill_queries(rng);
  fill_keys(rng);
}

std::int64_t AttentionCase::first_shifted_dim() const {
  return problem().d_qk > problem().d_v ? problem().d_v : 0;
}

std::int64_t AttentionCase::num_rows() const { return num_tokens_ * problem().h_q; }

StridedArray AttentionCase::allocate(DType dtype, std::vector<std::int64_t> shape) const {
  if (spec_.layout == Layout::kCompact) return StridedArray(dtype, std::move(shape));
  const bool is_aligned = spec_.layout == Layout::kAlignedGaps;
  const auto unit = static_cast<std::int64_t>(16 / size_bytes(dtype));
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step = step * shape[i] + 3 + static_cast<std::int64_t>(i);  // odd and even gaps
    if (is_aligned) step = ceil_div(step, unit) * unit;
  }
  return StridedArray(dtype, std::move(shape), std::move(strides), is_aligned ? unit : 1);
}

void AttentionCase::allocate_arrays(Rng& rng) {
  const AttentionProblem& p = problem();
  const bool is_decode = p.phase == Phase::kDecode;
  const auto per_token = [&](std::vector<std::int64_t> inner) {
    std::vector<std::int64_t> shape = is_decode ? std::vector<std::int64_t>{p.batch, p.s_q}
                                                : std::vector<std::int64_t>{num_tokens_};
    shape.insert(shape.end(), inner.begin(), inner.end());
    return shape;
  };
  q_ = allocate(p.q_dtype, per_token({p.h_q, p.d_qk}));
  out_ = allocate(p.out_dtype, per_token({p.h_q, p.d_v}));
  max_logits_ = allocate(DType::kFloat32, {num_tokens_, p.h_q});
  if (!is_decode) {
    lse_ = allocate(DType::kFloat32, {num_tokens_, p.h_q});
  } else if (spec_.layout == Layout::kCompact) {
    lse_ = StridedArray(DType::kFloat32, {p.batch, p.h_q, p.s_q});
  } else {  // a [b, h_q, s_q] view of [b, s_q, h_q], as sparse decode returns elsewhere
    lse_ = StridedArray(DType::kFloat32, {p.batch, p.h_q, p.s_q}, {p.s_q * p.h_q + 5, 1, p.h_q}, 1);
  }
  if (p.sparsity == Sparsity::kTopK) {
    indices_ = allocate(DType::kInt32, per_token({p.top_k}));
    if (spec_.has_top_k_lengths) top_k_lengths_ = allocate(DType::kInt32, {p.batch});
  }
  if (p.has_attn_sink) {
    attn_sink_ = allocate(DType::kFloat32, {p.h_q});
    for (std::int64_t head = 0; head < p.h_q; ++head) {
      const double sink =
          spec_.attn_sink.empty() ? normal(rng) : spec_.attn_sink[static_cast<std::size_t>(head)];
      attn_sink_.write(attn_sink_.offset({head}), sink);
    }
  }
}

void AttentionCase::choose_pages(Rng& rng) {
  const AttentionProblem& p = problem();
  std::int64_t num_pages = 0;
  std::int64_t max_pages = 0;
  for (std::int32_t length : spec_.kv_lengths) {
    num_pages += ceil_div(length, p.page_size);
    max_pages = std::max(max_pages, ceil_div(length, p.page_size));
  }
  std::vector<std::int32_t> pool(static_cast<std::size_t>(num_pages + 2));  // two stay unreferenced
  std::iota(pool.begin(), pool.end(), 0);
  std::shuffle(pool.begin(), pool.end(), rng);
  kv_cache_ = allocate(*plain_dtype(p.kv_format),
                       {static_cast<std::int64_t>(pool.size()), p.page_size, p.h_kv, p.d_qk});

  std::size_t num_used = 0;
  for (std::int32_t length : spec_.kv_lengths) {
    const auto count = static_cast<std::size_t>(ceil_div(length, p.page_size));
    const auto first = pool.begin() + static_cast<std::ptrdiff_t>(num_used);
    pages_.emplace_back(first, first + static_cast<std::ptrdiff_t>(count));
    num_used += count;
  }
  if (p.sparsity == Sparsity::kTopK) return;  // indices name slots; there is no table to read

  constexpr std::int32_t kGarbage[] = {-1, std::numeric_limits<std::int32_t>::max(),
                                       std::numeric_limits<std::int32_t>::min()};
  block_table_ = allocate(DType::kInt32, {p.batch, max_pages + 1});
  for (std::int64_t request = 0; request < p.batch; ++request) {
    const auto& pages = pages_[static_cast<std::size_t>(request)];
    for (std::int64_t i = 0; i <= max_pages; ++i) {
      const bool is_used = i < static_cast<std::int64_t>(pages.size());
      block_table_.write(block_table_.offset({request, i}), is_used
                                                                ? pages[static_cast<std::size_t>(i)]
                                                                : kGarbage[uniform(rng, 0, 2)]);
    }
  }
}

void AttentionCase::choose_indices(Rng& rng) {
  const AttentionProblem& p = problem();
  std::int64_t token = 0;
  for (std::int64_t request = 0; request < p.batch; ++request) {
    const auto r = static_cast<std::size_t>(request);
    std::int64_t num_columns = p.top_k;
    if (spec_.has_top_k_lengths) {
      num_columns = uniform(rng, 0, p.top_k);
      top_k_lengths_.write(top_k_lengths_.offset({request}), static_cast<double>(num_columns));
    }
    std::vector<std::int64_t> keys(static_cast<std::size_t>(spec_.kv_lengths[r]));
    std::iota(keys.begin(), keys.end(), 0);
    const std::int64_t num_queries = p.phase == Phase::kDecode ? p.s_q : spec_.q_lengths[r];
    for (std::int64_t query = 0; query < num_queries; ++query, ++token) {
      std::shuffle(keys.begin(), keys.end(), rng);  // no key twice: roundings stay independent
      std::size_t num_chosen = 0;
      for (std::int64_t column = 0; column < num_columns; ++column) {
        const bool is_missing =
            num_chosen == keys.size() || std::bernoulli_distribution(spec_.missing_indices)(rng);
        std::int64_t index = -1;
        if (!is_missing) {
          const std::int64_t key = keys[num_chosen++];
          is_referenced_[r][static_cast<std::size_t>(key)] = true;
          index = pages_[r][static_cast<std::size_t>(key / p.page_size)] * p.page_size +
                  key % p.page_size;
        }
        indices_.write(p.phase == Phase::kDecode ? indices_.offset({request, query, column})
                                                 : indices_.offset({token, column}),
                       static_cast<double>(index));
      }
    }
  }
}

// Queries have components of deviation a, so that against keys of deviation 1 the scores have
// deviation scale * a * sqrt(d_qk) = stddev. For a shift, all have the component b = a sqrt(d_qk) /
// 2 along direction_: a key moved by g along it gains scale * b * g.
void AttentionCase::fill_queries(Rng& rng) {
  const AttentionProblem& p = problem();
  const double root_d = std::sqrt(static_cast<double>(p.d_qk));
  const double a = p.scale() == 0 ? 1.0 : spec_.stddev / (std::abs(p.scale()) * root_d);
  const std::uint64_t seed = rng();
  for_each_part(num_rows(), kRowsAtOnce, [&](std::int64_t first_row, std::int64_t count) {
    std::vector<double> row(static_cast<std::size_t>(p.d_qk));
    for (std::int64_t row_idx = first_row; row_idx < first_row + count; ++row_idx) {
      NormalStream normal(seed, static_cast<std::uint64_t>(row_idx));
      for (double& x : row) x = a * normal();
      if (has_shift(spec_.shape)) {
        const double along = std::inner_product(row.begin(), row.end(), direction_.begin(), 0.0);
        for (std::size_t d = 0; d < row.size(); ++d)
          row[d] += (a * root_d / 2 - along) * direction_[d];
      }
      const std::int64_t token = row_idx / p.h_q;
      const std::int64_t head = row_idx % p.h_q;
      q_.write_row(p.phase == Phase::kDecode ? q_.offset({token / p.s_q, token % p.s_q, head, 0})
                                             : q_.offset({token, head, 0}),
                   row);
    }
  });
}

/// By how much key key_idx is moved along direction_.
double AttentionCase::key_shift(std::int64_t key_idx, std::int64_t num_keys) const {
  double share = 0;
  switch (spec_.shape) {
    case ScoreShape::kDominantFirst:
      share = key_idx == 0;
      break;
    case ScoreShape::kDominantMiddle:
      share = key_idx == num_keys / 2;
      break;
    case ScoreShape::kDominantLast:
      share = key_idx == num_keys - 1;
      break;
    case ScoreShape::kRising:
      share = static_cast<double>(key_idx) / static_cast<double>(num_keys);
      break;
    case ScoreShape::kOffset:
      share = 1;
      break;
    default:
      break;
  }
  // scale * b = stddev / 2, with the scale's sign
  return share * spec_.shift * 2 / std::copysign(spec_.stddev, problem().scale());
}

void AttentionCase::fill_keys(Rng& rng) {
  const std::uint64_t seed = rng();
  std::vector<std::int64_t> ends;  // of each request's keys, of all requests' one after the other
  std::int64_t num_keys = 0;
  for (std::int32_t length : spec_.kv_lengths) ends.push_back(num_keys += length);
  for_each_part(num_keys, kRowsAtOnce, [&](std::int64_t first, std::int64_t count) {
    auto request =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), first) - ends.begin());
    for (std::int64_t i = first; i < first + count; ++i) {
      while (i >= ends[request]) ++request;
      fill_key(request, i - ends[request] + spec_.kv_lengths[request], i, seed);
    }
  });
}

/// All heads of a request's key; stream_idx is another one for each key.
void AttentionCase::fill_key(std::size_t request, std::int64_t key, std::int64_t stream_idx,
                             std::uint64_t seed) {
  if (!is_referenced_[request][static_cast<std::size_t>(key)]) return;
  const AttentionProblem& p = problem();
  const std::int64_t first_random = spec_.shape == ScoreShape::kEqualKeys     ? p.d_qk
                                    : spec_.shape == ScoreShape::kEqualValues ? p.d_v
                                                                              : 0;
  const std::int64_t page = pages_[request][static_cast<std::size_t>(key / p.page_size)];
  const double shift = key_shift(key, spec_.kv_lengths[request]);
  std::vector<double> row(static_cast<std::size_t>(p.d_qk));
  for (std::int64_t head = 0; head < p.h_kv; ++head) {
    const auto stream_of = [&](std::int64_t number) {
      return NormalStream(seed, static_cast<std::uint64_t>(number * p.h_kv + head));
    };
    NormalStream normal = stream_of(stream_idx);
    // Streams of what a request's keys share stand before those of the keys.
    NormalStream shared = stream_of(-1 - static_cast<std::int64_t>(request));
    for (std::int64_t d = 0; d < p.d_qk; ++d) {
      const auto at = static_cast<std::size_t>(d);
      row[at] = d < first_random ? shared() : normal() + shift * direction_[at];
    }
    kv_cache_.write_row(kv_cache_.offset({page, key % p.page_size, head, 0}), row);
  }
}

DecodeArgs AttentionCase::decode_args() const {
  DecodeArgs args;
  args.q = q_.view();
  args.cache = {.kv_cache = kv_cache_.view(),
                .block_table = block_table_.view(),
                .indices = indices_.view(),
                .top_k_lengths = top_k_lengths_.view(),
                .attn_sink = attn_sink_.view()};
  args.out = out_.view();
  args.lse = lse_.view();
  return args;
}

PrefillArgs AttentionCase::prefill_args() const {
  PrefillArgs args;
  const DecodeArgs shared = decode_args();
  args.q = shared.q;
  args.cache = shared.cache;
  args.out = shared.out;
  args.lse = shared.lse;
  args.max_logits = max_logits_.view();
  return args;
}

algorithm::ReferenceInputs AttentionCase::reference_inputs() const {
  return {.problem = problem(),
          .kv_lengths = spec_.kv_lengths,
          .q_lengths = spec_.q_lengths,
          .q = q_.view(),
          .kv_cache = kv_cache_.view(),
          .block_table = block_table_.view(),
          .indices = indices_.view(),
          .top_k_lengths = top_k_lengths_.view(),
          .attn_sink = attn_sink_.view()};
}

const algorithm::ReferenceOutputs& AttentionCase::reference() const {
  if (!reference_) reference_ = algorithm::reference_attention(reference_inputs());
  return *reference_;
}

std::vector<double> AttentionCase::lse() const {
  if (problem().phase == Phase::kPrefill) return lse_.values();
  std::vector<double> rows;
  for (std::int64_t request = 0; request < problem().batch; ++request)
    for (std::int64_t query = 0; query < problem().s_q; ++query)
      for (std::int64_t head = 0; head < problem().h_q; ++head)
        rows.push_back(lse_.read(lse_.offset({request, head, query})));
  return rows;
}

void AttentionCase::poison_outputs() {
  out_.poison();
  lse_.poison();
  max_logits_.poison();
}

bool AttentionCase::output_gaps_are_untouched() const {
  return out_.gaps_are_untouched() && lse_.gaps_are_untouched() && max_logits_.gaps_are_untouched();
}

}  // namespace seesaw::testing
