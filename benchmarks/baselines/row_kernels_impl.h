// The one source of row_kernels.h. Each row_kernels_<isa>.cc defines SEESAW_BENCH_ROW_ISA and
// SEESAW_BENCH_ROW_LANES, includes this and is compiled with that instruction set's flags. The
// compiler's vector types stand for registers, so that no instruction set is named here.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "baselines/row_kernels.h"

namespace seesaw::bench {
namespace {

constexpr int kLanes = SEESAW_BENCH_ROW_LANES;
constexpr int kUnroll = 4;
constexpr std::int64_t kStep = kLanes * kUnroll;
constexpr float kLowest = -1e30f;  // stands for -infinity: differences of two stay finite

using Floats = float __attribute__((vector_size(kLanes * 4)));
using Words = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using Halves = std::uint16_t __attribute__((vector_size(kLanes * 2)));

template <typename Vector, typename T>
inline Vector load(const T* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <typename Vector, typename T>
inline void store(const Vector& v, T* to) {
  std::memcpy(to, &v, sizeof v);
}

inline Floats broadcast(float value) { return Floats{} + value; }
inline Floats max(const Floats& a, const Floats& b) { return a > b ? a : b; }

/// 2^x for x <= 0; relative error 2e-7 above 2^-126, 2^-126 below.
inline Floats exp2(Floats x) {
  const Floats magic = broadcast(12582912.0f);  // 1.5 * 2^23: rounds to an integer in its low bits
  x = max(x, broadcast(-126.0f));
  const Floats shifted = x + magic;
  const Floats f = x - (shifted - magic);
  Floats p = broadcast(0.0013390863f);
  p = p * f + 0.009676032f;
  p = p * f + 0.05550357f;
  p = p * f + 0.24022107f;
  p = p * f + 0.69314718f;
  p = p * f + 1.0f;
  const Words exponent = std::bit_cast<Words>(shifted) << 23;
  return std::bit_cast<Floats>(std::bit_cast<Words>(p) + exponent);
}

inline Halves round_bfloat16(const Floats& values) {
  const Words bits = std::bit_cast<Words>(values);
  return __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, Halves);
}

inline void store_weights(const Floats& values, float* to) { store(values, to); }
inline void store_weights(const Floats& values, std::uint16_t* to) {
  store(round_bfloat16(values), to);
}

template <typename Reduce>
inline float reduce(const Floats& v, Reduce&& op) {
  float result = v[0];
  for (int i = 1; i < kLanes; ++i) result = op(result, v[i]);
  return result;
}

/// A partial vector: `count` values of a row, the rest `fill`.
inline Floats load_part(const float* from, std::int64_t count, float fill) {
  Floats v = broadcast(fill);
  std::memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(float));
  return v;
}

inline float row_maximum(const float* scores, std::int64_t count) {
  Floats best[kUnroll];
  for (Floats& b : best) b = broadcast(kLowest);
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    for (int u = 0; u < kUnroll; ++u) best[u] = max(best[u], load<Floats>(scores + i + u * kLanes));
  }
  for (; i < count; i += kLanes) {
    const std::int64_t left = std::min<std::int64_t>(kLanes, count - i);
    best[0] = max(best[0], load_part(scores + i, left, kLowest));
  }
  return reduce(max(max(best[0], best[1]), max(best[2], best[3])),
                [](float a, float b) { return std::max(a, b); });
}

/// Writes 2^(scores * scale - maximum) and returns the sum of what it wrote, before rounding.
template <typename Weight>
inline float row_weights(const float* scores, std::int64_t count, float scale, float maximum,
                         Weight* weights) {
  Floats sums[kUnroll] = {};
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    for (int u = 0; u < kUnroll; ++u) {
      const Floats p = exp2(load<Floats>(scores + i + u * kLanes) * scale - maximum);
      sums[u] += p;
      store_weights(p, weights + i + u * kLanes);
    }
  }
  float rest = 0;
  for (; i < count; ++i) {
    const Floats p = exp2(broadcast(scores[i] * scale - maximum));
    Weight written[kLanes];
    store_weights(p, written);
    weights[i] = written[0];
    rest += p[0];
  }
  return rest +
         reduce((sums[0] + sums[1]) + (sums[2] + sums[3]), [](float a, float b) { return a + b; });
}

template <typename Weight>
void softmax(const SoftmaxBlock& block) {
  for (std::int64_t r = 0; r < block.num_rows; ++r) {
    const float* scores = block.scores + r * block.num_keys;
    Weight* weights = static_cast<Weight*>(block.weights) + r * block.num_keys;
    std::int64_t count = block.num_keys;
    if (block.is_masked) {
      const std::int64_t query = (block.first_row + r) / block.heads;
      count = std::clamp<std::int64_t>(block.first_visible + query, 0, block.num_keys);
    }
    const float old_max = block.row_max[r];
    const float best = row_maximum(scores, count);
    const float new_max = std::max(old_max, best == kLowest ? kLowest : best * block.scale_log2);
    const float correction = old_max == new_max ? 1.0f : exp2(broadcast(old_max - new_max))[0];
    const float sum = row_weights(scores, count, block.scale_log2, new_max, weights);
    std::fill(weights + count, weights + block.num_keys, Weight{0});
    block.row_max[r] = new_max;
    block.row_sum[r] = block.row_sum[r] * correction + sum;
    block.correction[r] = correction;
  }
}

void scale_rows(float* values, std::int64_t num_rows, std::int64_t num_columns,
                const float* factors) {
  for (std::int64_t r = 0; r < num_rows; ++r) {
    const float factor = factors[r];
    if (factor == 1.0f) continue;
    float* row = values + r * num_columns;
    for (std::int64_t i = 0; i < num_columns; ++i) row[i] *= factor;
  }
}

void add_scaled(float* sums, const float* values, std::int64_t num_values, float factor) {
  for (std::int64_t i = 0; i < num_values; ++i) sums[i] += values[i] * factor;
}

void widen_bfloat16(const std::uint16_t* from, float* to, std::int64_t num_values) {
  std::int64_t i = 0;
  for (; i + kLanes <= num_values; i += kLanes) {
    const Words words = __builtin_convertvector(load<Halves>(from + i), Words) << 16;
    store(words, to + i);
  }
  for (; i < num_values; ++i) {
    to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16);
  }
}

void round_to_bfloat16(const float* from, float factor, std::uint16_t* to,
                       std::int64_t num_values) {
  std::int64_t i = 0;
  for (; i + kLanes <= num_values; i += kLanes) {
    store(round_bfloat16(load<Floats>(from + i) * factor), to + i);
  }
  for (; i < num_values; ++i) {
    std::uint16_t rounded[kLanes];
    store(round_bfloat16(broadcast(from[i] * factor)), rounded);
    to[i] = rounded[0];
  }
}

}  // namespace

extern const RowKernels SEESAW_BENCH_ROW_ISA;
const RowKernels SEESAW_BENCH_ROW_ISA = {
    SEESAW_BENCH_ROW_NAME, softmax<std::uint16_t>, softmax<float>, scale_rows, add_scaled,
    widen_bfloat16,        round_to_bfloat16,
};

}  // namespace seesaw::bench
