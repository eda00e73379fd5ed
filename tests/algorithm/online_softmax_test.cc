// The algebra of (m, l, o): docs/mla.md, "Online softmax".
#include "algorithm/online_softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "support/seed.h"

namespace seesaw::testing {
namespace {

using algorithm::SoftmaxState;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kDims = 5;

struct Key {
  double score_log2 = 0;
  std::vector<double> value;
};

/// A state together with its o.
struct Partial {
  SoftmaxState<double> state;
  std::vector<double> o = std::vector<double>(kDims, std::nan(""));
};

std::vector<Key> random_keys(Rng& rng, std::size_t count, double spread) {
  std::normal_distribution<double> normal;
  std::vector<Key> keys(count);
  for (Key& key : keys) {
    key.score_log2 = spread * normal(rng);
    for (std::size_t d = 0; d < kDims; ++d) key.value.push_back(normal(rng));
  }
  return keys;
}

Partial of_key(const Key& key) { return {{key.score_log2, 1.0}, key.value}; }

Partial merged(Partial a, const Partial& b) {
  algorithm::merge<double>(a.state, a.o, b.state, b.o);
  return a;
}

/// The state by its definition: m the maximum, l and o plain sums.
Partial by_definition(const std::vector<Key>& keys) {
  Partial whole;
  if (keys.empty()) return whole;
  whole.o.assign(kDims, 0.0);
  for (const Key& key : keys) whole.state.m_log2 = std::max(whole.state.m_log2, key.score_log2);
  for (const Key& key : keys) {
    const double weight = std::exp2(key.score_log2 - whole.state.m_log2);
    whole.state.l += weight;
    for (std::size_t d = 0; d < kDims; ++d) whole.o[d] += weight * key.value[d];
  }
  return whole;
}

void expect_equal(const Partial& a, const Partial& b) {
  EXPECT_EQ(a.state.m_log2, b.state.m_log2);
  EXPECT_NEAR(a.state.l, b.state.l, 1e-13 * b.state.l);
  if (b.state.is_empty()) return;  // o has no meaning
  for (std::size_t d = 0; d < kDims; ++d) EXPECT_NEAR(a.o[d], b.o[d], 1e-12 * (1 + b.state.l)) << d;
}

Partial random_partial(Rng& rng) {
  return by_definition(random_keys(rng, static_cast<std::size_t>(uniform(rng, 0, 6)), 20.0));
}

TEST(OnlineSoftmax, MergeIsCommutative) {
  Rng rng = make_rng();
  for (int i = 0; i < 200; ++i) {
    const Partial a = random_partial(rng);
    const Partial b = random_partial(rng);
    expect_equal(merged(a, b), merged(b, a));
  }
}

TEST(OnlineSoftmax, MergeIsAssociative) {
  Rng rng = make_rng();
  for (int i = 0; i < 200; ++i) {
    const Partial a = random_partial(rng);
    const Partial b = random_partial(rng);
    const Partial c = random_partial(rng);
    expect_equal(merged(merged(a, b), c), merged(a, merged(b, c)));
  }
}

TEST(OnlineSoftmax, EmptyStateIsTheIdentityWhateverItsO) {
  Rng rng = make_rng();
  const Partial empty;  // o is NaN
  const Partial a = by_definition(random_keys(rng, 4, 3.0));
  for (const Partial& both : {merged(a, empty), merged(empty, a)}) {
    EXPECT_EQ(both.state.m_log2, a.state.m_log2);
    EXPECT_EQ(both.state.l, a.state.l);
    EXPECT_EQ(both.o, a.o);
  }
  EXPECT_TRUE(merged(empty, empty).state.is_empty());
}

TEST(OnlineSoftmax, AnyGroupingOfKeysGivesTheDefinition) {
  Rng rng = make_rng();
  for (int i = 0; i < 100; ++i) {
    auto keys = random_keys(rng, static_cast<std::size_t>(uniform(rng, 1, 40)), 10.0);
    const Partial whole = by_definition(keys);
    std::vector<Partial> parts;
    for (const Key& key : keys) parts.push_back(of_key(key));
    while (parts.size() > 1) {  // merge two at random
      std::shuffle(parts.begin(), parts.end(), rng);
      const Partial last = parts.back();
      parts.pop_back();
      parts.back() = merged(parts.back(), last);
    }
    expect_equal(parts.front(), whole);
  }
}

TEST(OnlineSoftmax, ASmallerMaximumLeavesTheStateAsItIs) {
  SoftmaxState<float> state{3.0f, 2.5f};
  EXPECT_EQ(algorithm::raise_max(state, 3.0f), 1.0f);
  EXPECT_EQ(algorithm::raise_max(state, -7.0f), 1.0f);
  EXPECT_EQ(state.m_log2, 3.0f);
  EXPECT_EQ(state.l, 2.5f);
  EXPECT_EQ(algorithm::raise_max(state, 5.0f), 0.25f);
  EXPECT_EQ(state.m_log2, 5.0f);
  EXPECT_EQ(state.l, 0.625f);
}

TEST(OnlineSoftmax, MaskedScoresWeighNothing) {
  SoftmaxState<float> state;
  const float masked = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(algorithm::raise_max(state, masked), 1.0f);
  EXPECT_EQ(algorithm::weight(state, masked), 0.0f);  // m is -inf too
  algorithm::raise_max(state, -2.0f);
  EXPECT_EQ(algorithm::weight(state, masked), 0.0f);
  EXPECT_EQ(algorithm::weight(state, -2.0f), 1.0f);
}

TEST(OnlineSoftmax, ANanScoreIsNotTakenForAnEmptyRow) {
  SoftmaxState<float> state;
  algorithm::raise_max(state, std::nanf(""));
  state.l += algorithm::weight(state, std::nanf(""));
  EXPECT_FALSE(state.is_empty());
  EXPECT_TRUE(std::isnan(algorithm::finalize(state).lse));
}

TEST(OnlineSoftmax, FinalizeGivesTheDefinitionInNaturalUnits) {
  Rng rng = make_rng();
  const auto keys = random_keys(rng, 30, 4.0);
  const Partial whole = by_definition(keys);
  double largest = -kInfinity;
  double exp_sum = 0;
  for (const Key& key : keys) {
    exp_sum += std::exp(key.score_log2 * std::numbers::ln2);
    largest = std::max(largest, key.score_log2 * std::numbers::ln2);
  }
  const auto result = algorithm::finalize(whole.state);
  EXPECT_NEAR(result.lse, std::log(exp_sum), 1e-12);
  EXPECT_NEAR(result.max_logit, largest, 1e-12);
  for (std::size_t d = 0; d < kDims; ++d) {
    double expected = 0;
    for (const Key& key : keys)
      expected += std::exp(key.score_log2 * std::numbers::ln2) / exp_sum * key.value[d];
    EXPECT_NEAR(whole.o[d] * result.o_factor, expected, 1e-12);
  }
}

TEST(OnlineSoftmax, AnEmptyRowIsZeroWithInfiniteLseUnderEverySink) {
  for (float sink : {-INFINITY, -1e38f, 0.0f, 1e38f, INFINITY}) {
    const auto result = algorithm::finalize(SoftmaxState<float>{}, sink);
    EXPECT_EQ(result.o_factor, 0.0f);
    EXPECT_EQ(result.lse, INFINITY);
    EXPECT_EQ(result.max_logit, -INFINITY);
  }
}

TEST(OnlineSoftmax, ASinkIsAKeyOfZeroValueThatLseDoesNotCount) {
  Rng rng = make_rng();
  for (int i = 0; i < 50; ++i) {
    const auto keys = random_keys(rng, 7, 3.0);
    const double sink = 3 * std::normal_distribution<double>()(rng);
    const Partial plain = by_definition(keys);
    auto with_sink = keys;
    with_sink.push_back({sink * std::numbers::log2e, std::vector<double>(kDims, 0.0)});
    const Partial extended = by_definition(with_sink);
    const auto result = algorithm::finalize(plain.state, sink);
    const auto expected = algorithm::finalize(extended.state);
    for (std::size_t d = 0; d < kDims; ++d)
      EXPECT_NEAR(plain.o[d] * result.o_factor, extended.o[d] * expected.o_factor, 1e-13);
    EXPECT_EQ(result.lse, algorithm::finalize(plain.state).lse);
  }
}

TEST(OnlineSoftmax, LargeAndInfiniteSinksGiveZeroOrNothing) {
  for (float lse_log2 : {-300.0f, 0.0f, 300.0f}) {
    const SoftmaxState<float> state{lse_log2, 1.0f};
    for (float sink : {-INFINITY, -3.4e38f, -1e38f}) {
      EXPECT_EQ(algorithm::finalize(state, sink).o_factor, 1.0f) << sink;
      EXPECT_EQ(algorithm::finalize(state, -sink).o_factor, 0.0f) << -sink;
      EXPECT_FLOAT_EQ(algorithm::finalize(state, -sink).lse, lse_log2 * std::numbers::ln2_v<float>);
    }
  }
}

TEST(OnlineSoftmax, OutputsOfDisjointKeysMergeByTheirLse) {
  // What ranks of a context-parallel run exchange: O and natural lse, no m or l.
  Rng rng = make_rng();
  const auto keys = random_keys(rng, 24, 5.0);
  const Partial whole = by_definition(keys);
  const auto expected = algorithm::finalize(whole.state);
  std::vector<double> lse;
  std::vector<std::vector<double>> outs;
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const Partial part = by_definition({keys.begin() + static_cast<std::ptrdiff_t>(rank * 8),
                                        keys.begin() + static_cast<std::ptrdiff_t>(rank * 8 + 8)});
    const auto result = algorithm::finalize(part.state);
    lse.push_back(result.lse);
    outs.push_back(part.o);
    for (double& x : outs.back()) x *= result.o_factor;
  }
  double total = 0;
  for (double x : lse) total += std::exp(x);
  EXPECT_NEAR(std::log(total), expected.lse, 1e-12);
  for (std::size_t d = 0; d < kDims; ++d) {
    double out = 0;
    for (std::size_t rank = 0; rank < 3; ++rank)
      out += std::exp(lse[rank] - expected.lse) * outs[rank][d];
    EXPECT_NEAR(out, whole.o[d] * expected.o_factor, 1e-12);
  }
}

}  // namespace
}  // namespace seesaw::testing
