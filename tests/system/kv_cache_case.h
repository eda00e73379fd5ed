// What the tests of the paged cache share: hostile arrays, and what a stored value must be.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <vector>

#include "seesaw/types/dtype.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/tensor_view.h"
#include "support/seed.h"
#include "support/strided_array.h"

namespace seesaw::testing {

inline constexpr KvFormat kFormats[] = {KvFormat::kFloat32, KvFormat::kBFloat16,
                                        KvFormat::kFloat16};

// What an element of `dtype` holds after `value` is written to it, by the types' own definition,
// which the test of conversions holds against another one.
inline double stored(double value, DType dtype) {
  const auto narrow = static_cast<float>(value);
  if (dtype == DType::kBFloat16) return static_cast<float>(BFloat16(narrow));
  if (dtype == DType::kFloat16) return static_cast<float>(Float16(narrow));
  return narrow;
}

inline bool same(double a, double b) {
  return a == b ? std::signbit(a) == std::signbit(b) : std::isnan(a) && std::isnan(b);
}

// Normal numbers, with some of the ends of every type's range.
inline double random_value(Rng& rng) {
  constexpr double kSpecial[] = {
      0.0,        -0.0,           std::numeric_limits<double>::infinity(),
      65504.0,    65520.0,        -std::numeric_limits<double>::infinity(),
      0x1p-24,    0x1p-25,        0x1.8p-25,
      0x1p-126,   0x1p-140,       -0x1p-133,
      0x1.fep127, 0x1.fffffep127, std::numeric_limits<double>::quiet_NaN()};
  if (uniform(rng, 0, 9) == 0) {
    return kSpecial[static_cast<std::size_t>(
        uniform(rng, 0, static_cast<std::int64_t>(std::size(kSpecial)) - 1))];
  }
  return static_cast<float>(std::normal_distribution<double>()(rng));
}

inline void fill(StridedArray& array, Rng& rng) {
  const std::vector<std::int64_t>& shape = array.shape();
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t j = 0; j < shape[1]; ++j)
      for (std::int64_t k = 0; k < shape[2]; ++k)
        for (std::int64_t l = 0; l < (shape.size() > 3 ? shape[3] : 1); ++l) {
          const auto place = shape.size() > 3 ? std::vector{i, j, k, l} : std::vector{i, j, k};
          array.write(array.offset(place), random_value(rng));
        }
}

// Row-major with gaps of random width behind each dimension but the last.
inline StridedArray with_gaps(DType dtype, const std::vector<std::int64_t>& shape, Rng& rng) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size() - 1; i-- > 0;) {
    const std::int64_t gap = uniform(rng, 0, 1) == 0 ? 0 : uniform(rng, 1, 9);
    strides[i] = strides[i + 1] * std::max<std::int64_t>(shape[i + 1], 1) + gap;
  }
  return StridedArray(dtype, shape, strides, uniform(rng, 0, 5));
}

inline ConstTensorView slots_view(const std::vector<std::int64_t>& slots) {
  return {slots.data(), DType::kInt64, {static_cast<std::int64_t>(slots.size())}};
}
inline ConstTensorView ints_view(const std::vector<std::int32_t>& values) {
  return {values.data(), DType::kInt32, {static_cast<std::int64_t>(values.size())}};
}

struct Shape {
  std::int64_t num_pages, page_size, h_kv, d_latent, d_rope;
  std::int64_t num_slots() const { return num_pages * page_size; }
  std::int64_t d_qk() const { return d_latent + d_rope; }
};

inline Shape random_shape(Rng& rng) {
  return {uniform(rng, 1, 9), uniform(rng, 1, 20), uniform(rng, 1, 3), uniform(rng, 1, 40),
          uniform(rng, 0, 20)};
}

}  // namespace seesaw::testing
