// The formulas of docs/mla.md, "Two forms of one attention" and "Cost", each against a computation
// that does the work and counts it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "algorithm/reference_attention.h"
#include "support/seed.h"

namespace seesaw::testing {
namespace {

/// Dimensions of one MLA layer, in the document's symbols.
struct MlaShape {
  std::int64_t h = 128;
  std::int64_t d_nope = 128;
  std::int64_t d_rope = 64;
  std::int64_t d_latent = 512;
  std::int64_t d_head = 128;  // of an expanded value

  std::int64_t expansion() const { return d_latent * (d_nope + d_head); }  // E
  std::int64_t excess() const { return 2 * d_latent - d_nope - d_head; }   // Delta
};

// The document's formulas, FLOP of all heads. `pairs` is the number of (query, visible key).
std::int64_t absorbed_flops(const MlaShape& m, std::int64_t s_q, std::int64_t pairs) {
  return 2 * m.h * (pairs * (2 * m.d_latent + m.d_rope) + s_q * m.expansion());
}
std::int64_t expanded_flops(const MlaShape& m, std::int64_t s_k, std::int64_t pairs) {
  return 2 * m.h * (pairs * (m.d_nope + m.d_rope + m.d_head) + s_k * m.expansion());
}
double break_even(const MlaShape& m, double s_k) {
  const auto e = static_cast<double>(m.expansion());
  return e / (static_cast<double>(m.excess()) + e / s_k);
}
double break_even_causal(const MlaShape& m, double s_k) {
  const auto e = static_cast<double>(m.expansion());
  const auto delta = static_cast<double>(m.excess());
  const double a = (s_k + 0.5) * delta + e;
  return (a - std::sqrt(a * a - 2 * delta * s_k * e)) / delta;
}
std::int64_t num_pairs(std::int64_t s_q, std::int64_t s_k, Mask mask) {
  return mask == Mask::kNone ? s_q * s_k : s_q * s_k - s_q * (s_q - 1) / 2;
}

using Matrix = std::vector<std::vector<double>>;  // [rows][columns]

/// Small integers: every product below is exact in float32, so that the oracle sees no rounding.
Matrix random_integers(Rng& rng, std::int64_t rows, std::int64_t columns) {
  Matrix matrix(static_cast<std::size_t>(rows),
                std::vector<double>(static_cast<std::size_t>(columns)));
  for (auto& row : matrix)
    for (double& x : row) x = static_cast<double>(uniform(rng, -3, 3));
  return matrix;
}

/// The inputs of one layer, for one request.
struct Layer {
  MlaShape shape;
  Matrix q_nope, q_rope;     // [s_q * h][..]
  Matrix latent, k_rope;     // [s_k][..]
  std::vector<Matrix> w_uk;  // [h][d_nope][d_latent]: k_nope = W_UK c
  std::vector<Matrix> w_uv;  // [h][d_head][d_latent]: v = W_UV c
  double scale = 0.02;
};

Layer random_layer(Rng& rng, const MlaShape& shape, std::int64_t s_q, std::int64_t s_k) {
  Layer layer{.shape = shape,
              .q_nope = random_integers(rng, s_q * shape.h, shape.d_nope),
              .q_rope = random_integers(rng, s_q * shape.h, shape.d_rope),
              .latent = random_integers(rng, s_k, shape.d_latent),
              .k_rope = random_integers(rng, s_k, shape.d_rope),
              .w_uk = {},
              .w_uv = {}};
  for (std::int64_t head = 0; head < shape.h; ++head) {
    layer.w_uk.push_back(random_integers(rng, shape.d_nope, shape.d_latent));
    layer.w_uv.push_back(random_integers(rng, shape.d_head, shape.d_latent));
  }
  return layer;
}

/// Multiplies and counts: 2 FLOP a multiply-add.
struct Counter {
  std::int64_t flops = 0;

  std::vector<double> multiply(const Matrix& matrix, const std::vector<double>& x) {
    std::vector<double> y(matrix.size(), 0.0);
    for (std::size_t i = 0; i < matrix.size(); ++i) y[i] = dot(matrix[i], x);
    return y;
  }
  std::vector<double> multiply_transposed(const Matrix& matrix, const std::vector<double>& x) {
    std::vector<double> y(matrix[0].size(), 0.0);
    for (std::size_t i = 0; i < matrix.size(); ++i) add_scaled(y, x[i], matrix[i]);
    return y;
  }
  double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i, flops += 2) sum += a[i] * b[i];
    return sum;
  }
  void add_scaled(std::vector<double>& y, double factor, const std::vector<double>& x) {
    for (std::size_t i = 0; i < x.size(); ++i, flops += 2) y[i] += factor * x[i];
  }

  /// One row; the softmax itself is not counted.
  std::vector<double> attend(const std::vector<double>& q, const Matrix& keys, const Matrix& values,
                             std::size_t num_keys, double scale) {
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t j = 0; j < num_keys; ++j) {
      weights.push_back(std::exp(scale * dot(q, keys[j])));
      sum += weights.back();
    }
    std::vector<double> out(values[0].size(), 0.0);
    for (std::size_t j = 0; j < num_keys; ++j) add_scaled(out, weights[j] / sum, values[j]);
    return out;
  }
};

std::vector<double> concatenated(std::vector<double> a, const std::vector<double>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::size_t visible(std::size_t query, std::size_t s_q, std::size_t s_k, Mask mask) {
  return mask == Mask::kNone ? s_k : s_k - s_q + 1 + query;
}

/// Queries are brought into latent space, values out of it: the cache is used as it is.
Matrix attend_absorbed(const Layer& layer, std::size_t s_q, Mask mask, Counter& counter) {
  Matrix keys;
  for (std::size_t j = 0; j < layer.latent.size(); ++j)
    keys.push_back(concatenated(layer.latent[j], layer.k_rope[j]));
  const auto num_heads = static_cast<std::size_t>(layer.shape.h);
  Matrix out;
  for (std::size_t query = 0; query < s_q; ++query) {
    for (std::size_t head = 0; head < num_heads; ++head) {
      const std::size_t row = query * num_heads + head;
      const auto q = concatenated(counter.multiply_transposed(layer.w_uk[head], layer.q_nope[row]),
                                  layer.q_rope[row]);
      const auto o = counter.attend(q, keys, layer.latent, visible(query, s_q, keys.size(), mask),
                                    layer.scale);
      out.push_back(counter.multiply(layer.w_uv[head], o));
    }
  }
  return out;
}

/// Every key and value is expanded for every head, then attended to as usual.
Matrix attend_expanded(const Layer& layer, std::size_t s_q, Mask mask, Counter& counter) {
  const auto num_heads = static_cast<std::size_t>(layer.shape.h);
  Matrix out(s_q * num_heads);
  for (std::size_t head = 0; head < num_heads; ++head) {
    Matrix keys;
    Matrix values;
    for (std::size_t j = 0; j < layer.latent.size(); ++j) {
      keys.push_back(
          concatenated(counter.multiply(layer.w_uk[head], layer.latent[j]), layer.k_rope[j]));
      values.push_back(counter.multiply(layer.w_uv[head], layer.latent[j]));
    }
    for (std::size_t query = 0; query < s_q; ++query) {
      const std::size_t row = query * num_heads + head;
      out[row] = counter.attend(concatenated(layer.q_nope[row], layer.q_rope[row]), keys, values,
                                visible(query, s_q, keys.size(), mask), layer.scale);
    }
  }
  return out;
}

MlaShape random_shape(Rng& rng) {
  return {.h = uniform(rng, 1, 4),
          .d_nope = uniform(rng, 1, 9),
          .d_rope = uniform(rng, 1, 5),
          .d_latent = uniform(rng, 10, 30),
          .d_head = uniform(rng, 1, 9)};
}

TEST(MlaFormulas, AbsorbedEqualsExpanded) {
  Rng rng = make_rng();
  for (Mask mask : {Mask::kNone, Mask::kCausal}) {
    const Layer layer = random_layer(rng, random_shape(rng), 3, 11);
    Counter counter;
    const Matrix absorbed = attend_absorbed(layer, 3, mask, counter);
    const Matrix expanded = attend_expanded(layer, 3, mask, counter);
    ASSERT_EQ(absorbed.size(), expanded.size());
    for (std::size_t row = 0; row < absorbed.size(); ++row)
      for (std::size_t d = 0; d < absorbed[row].size(); ++d)
        EXPECT_NEAR(absorbed[row][d], expanded[row][d], 1e-10);
  }
}

TEST(MlaFormulas, TheLibrarysProblemIsTheAbsorbedForm) {
  // One KV head of [latent, rope], V its first d_latent dimensions, one page of all tokens.
  Rng rng = make_rng();
  const MlaShape shape = random_shape(rng);
  const Layer layer = random_layer(rng, shape, 1, 9);
  Counter counter;
  std::vector<float> q;
  std::vector<float> cache;
  for (std::size_t head = 0; head < layer.w_uk.size(); ++head) {
    const auto absorbed = counter.multiply_transposed(layer.w_uk[head], layer.q_nope[head]);
    for (double x : concatenated(absorbed, layer.q_rope[head])) q.push_back(static_cast<float>(x));
  }
  for (std::size_t j = 0; j < 9; ++j)
    for (double x : concatenated(layer.latent[j], layer.k_rope[j]))
      cache.push_back(static_cast<float>(x));
  const std::int32_t page = 0;
  const std::int32_t kv_length = 9;

  algorithm::ReferenceInputs in;
  in.problem.batch = 1;
  in.problem.h_q = shape.h;
  in.problem.d_qk = shape.d_latent + shape.d_rope;
  in.problem.d_v = shape.d_latent;
  in.problem.page_size = 9;
  in.problem.softmax_scale = static_cast<float>(layer.scale);
  in.kv_lengths = {&kv_length, 1};
  in.q = ConstTensorView(q.data(), DType::kFloat32, {1, 1, shape.h, in.problem.d_qk});
  in.kv_cache = ConstTensorView(cache.data(), DType::kFloat32, {1, 9, 1, in.problem.d_qk});
  in.block_table = ConstTensorView(&page, DType::kInt32, {1, 1});
  const auto result = algorithm::reference_attention(in);

  const Matrix expanded = attend_expanded(layer, 1, Mask::kNone, counter);
  for (std::size_t head = 0; head < expanded.size(); ++head) {
    const auto first = result.out.begin() +
                       static_cast<std::ptrdiff_t>(head) * static_cast<std::ptrdiff_t>(result.d_v);
    const auto out = counter.multiply(layer.w_uv[head], {first, first + result.d_v});
    for (std::size_t d = 0; d < out.size(); ++d)
      EXPECT_NEAR(out[d], expanded[head][d], 1e-4 * (1 + std::abs(expanded[head][d])));
  }
}

TEST(MlaFormulas, FlopsAreThoseCounted) {
  Rng rng = make_rng();
  for (int i = 0; i < 10; ++i) {
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      const MlaShape shape = random_shape(rng);
      const std::int64_t s_k = uniform(rng, 1, 9);
      const std::int64_t s_q = uniform(rng, 1, s_k);
      const Layer layer = random_layer(rng, shape, s_q, s_k);
      const std::int64_t pairs = num_pairs(s_q, s_k, mask);
      Counter absorbed;
      attend_absorbed(layer, static_cast<std::size_t>(s_q), mask, absorbed);
      EXPECT_EQ(absorbed.flops, absorbed_flops(shape, s_q, pairs));
      Counter expanded;
      attend_expanded(layer, static_cast<std::size_t>(s_q), mask, expanded);
      EXPECT_EQ(expanded.flops, expanded_flops(shape, s_k, pairs));
    }
  }
}

TEST(MlaFormulas, BreakEvenIsWhereTheCountsCross) {
  Rng rng = make_rng();
  for (int i = 0; i < 50; ++i) {
    const MlaShape shape = i == 0 ? MlaShape{} : random_shape(rng);  // first, DeepSeek's
    const std::int64_t s_k = uniform(rng, 2, i == 0 ? 10'000 : 60);
    for (Mask mask : {Mask::kNone, Mask::kCausal}) {
      const auto keys = static_cast<double>(s_k);
      const double crossing =
          mask == Mask::kNone ? break_even(shape, keys) : break_even_causal(shape, keys);
      EXPECT_GT(crossing, 0);
      EXPECT_LT(crossing, keys);
      for (std::int64_t s_q = 1; s_q <= s_k; ++s_q) {
        const auto queries = static_cast<double>(s_q);
        if (std::abs(queries - crossing) < 1e-6 * crossing) continue;  // equal but for rounding
        const std::int64_t pairs = num_pairs(s_q, s_k, mask);
        const bool absorbed_is_cheaper =
            absorbed_flops(shape, s_q, pairs) < expanded_flops(shape, s_k, pairs);
        ASSERT_EQ(absorbed_is_cheaper, queries < crossing)
            << "s_q " << s_q << " s_k " << s_k << " crossing " << crossing;
      }
    }
  }
}

TEST(MlaFormulas, DeepSeekFiguresAreThoseOfTheDocument) {
  const MlaShape deepseek;
  EXPECT_EQ(deepseek.expansion(), 131'072);
  EXPECT_EQ(deepseek.excess(), 768);
  EXPECT_NEAR(break_even(deepseek, 4096), 163.84, 0.005);
  EXPECT_NEAR(break_even_causal(deepseek, 4096), 167.09, 0.005);
  EXPECT_NEAR(break_even(deepseek, 1e12), 170.67, 0.005);
  const double one_query = static_cast<double>(absorbed_flops(deepseek, 1, 4096));
  EXPECT_NEAR(static_cast<double>(expanded_flops(deepseek, 4096, 4096)) / one_query, 117.3, 0.05);
  const std::int64_t triangle = num_pairs(4096, 4096, Mask::kCausal);
  EXPECT_NEAR(static_cast<double>(expanded_flops(deepseek, 4096, triangle)) /
                  static_cast<double>(absorbed_flops(deepseek, 4096, triangle)),
              0.333, 0.001);
  // Bytes of bfloat16 a token, cached latent or cached expanded keys and values.
  const std::int64_t latent_bytes = 2 * (deepseek.d_latent + deepseek.d_rope);
  const std::int64_t expanded_bytes =
      2 * deepseek.h * (deepseek.d_nope + deepseek.d_rope + deepseek.d_head);
  EXPECT_EQ(latent_bytes, 1'152);
  EXPECT_EQ(expanded_bytes, 81'920);
  // FLOP a byte of cache in decode, the per-query work on W_UK and W_UV left out.
  const auto intensity = [&](std::int64_t h) {
    return static_cast<double>(2 * h * (2 * deepseek.d_latent + deepseek.d_rope)) /
           static_cast<double>(latent_bytes);
  };
  EXPECT_NEAR(intensity(128), 241.8, 0.05);
  EXPECT_NEAR(intensity(16), 30.2, 0.05);
}

}  // namespace
}  // namespace seesaw::testing
