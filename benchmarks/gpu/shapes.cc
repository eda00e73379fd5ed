#include "gpu/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace seesaw::bench {

std::string Shape::name() const {
  std::string text =
      fmt::format("b {} s_q {} h_q {} s_k {}{}", batch, s_q, h_q, is_varied ? "~" : "", s_k);
  if (d_qk != 576 || d_v != 512) text += fmt::format(" d {}/{}", d_qk, d_v);
  if (page_size != 64) text += fmt::format(" page {}", page_size);
  if (dtype != DType::kBFloat16) text += fmt::format(" {}", to_string(dtype));
  return text;
}

AttentionProblem Shape::problem(Mask mask) const {
  AttentionProblem problem;
  problem.batch = batch;
  problem.s_q = s_q;
  problem.h_q = h_q;
  problem.d_qk = d_qk;
  problem.d_v = d_v;
  problem.page_size = page_size;
  problem.q_dtype = problem.out_dtype = dtype;
  problem.kv_format = *plain_format(dtype);
  problem.mask = mask;
  return problem;
}

std::vector<std::int32_t> Shape::lengths(std::uint64_t seed) const {
  std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch),
                                    static_cast<std::int32_t>(s_k));
  if (!is_varied) return lengths;
  std::mt19937_64 rng(seed);
  const auto mean = static_cast<double>(s_k);
  for (std::int32_t& length : lengths) {
    // Box and Muller by hand: the standard's distributions differ from library to library.
    const double u = (static_cast<double>(rng() >> 11) + 0.5) * 0x1p-53;
    const double angle = 2 * 3.14159265358979323846 * static_cast<double>(rng() >> 11) * 0x1p-53;
    const double x = mean + mean / 2 * std::sqrt(-2 * std::log(u)) * std::cos(angle);
    length = static_cast<std::int32_t>(std::max(x, static_cast<double>(s_q)));
  }
  return lengths;
}

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes;
  const auto add = [&](Shape shape, bool is_quick = false) {
    shape.is_quick = is_quick;
    shapes.push_back(shape);
  };
  for (std::int64_t s_k : {4096, 8192, 32768})
    add({.batch = 128, .s_k = s_k, .is_varied = true}, s_k == 8192);
  for (std::int64_t s_k : {8192, 32768})
    add({.batch = 128, .s_q = 2, .s_k = s_k, .is_varied = true}, s_k == 8192);
  for (std::int64_t batch : {128, 64})
    for (std::int64_t h_q : {64, 32, 16})
      for (std::int64_t s_k : {8192, 4096})
        add({.batch = batch, .h_q = h_q, .s_k = s_k}, batch == 128 && h_q != 32 && s_k == 8192);
  add({.batch = 64, .h_q = 128, .s_k = 8192});
  add({.batch = 128, .h_q = 128, .s_k = 8192});
  for (std::int64_t batch : {16, 4, 1})
    for (std::int64_t h_q : {128, 16}) add({.batch = batch, .h_q = h_q, .s_k = 8192}, true);
  add({.batch = 1, .h_q = 16, .s_k = 65536}, true);
  add({.batch = 1, .h_q = 128, .s_k = 131072}, true);
  // Beside the table: other types, dimensions and pages, and what is in between.
  add({.batch = 32, .h_q = 128, .s_k = 8192, .is_varied = true});
  add({.batch = 8, .h_q = 64, .s_k = 16384, .is_varied = true});
  add({.batch = 512, .h_q = 16, .s_k = 2048, .is_varied = true});
  add({.batch = 128, .h_q = 128, .s_k = 512, .is_varied = true});
  add({.batch = 128, .s_q = 4, .h_q = 16, .s_k = 8192});
  add({.batch = 128, .h_q = 128, .s_k = 8192, .is_varied = true, .dtype = DType::kFloat16});
  add({.batch = 128, .h_q = 128, .s_k = 8192, .is_varied = true, .d_qk = 512, .d_v = 512});
  add({.batch = 128, .h_q = 128, .s_k = 8192, .is_varied = true, .d_qk = 320, .d_v = 256});
  for (std::int64_t page_size : {16, 32, 128, 256})
    add({.batch = 128, .h_q = 16, .s_k = 8192, .page_size = page_size});
  return shapes;
}

double num_operations(const Shape& shape, const std::vector<std::int32_t>& lengths) {
  const double keys = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  return 2 * keys * static_cast<double>(shape.s_q * shape.h_q * (shape.d_qk + shape.d_v));
}

double num_bytes(const Shape& shape, const std::vector<std::int32_t>& lengths) {
  const double keys = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  const auto rows = static_cast<double>(shape.batch * shape.s_q * shape.h_q);
  return 2 * (keys * static_cast<double>(shape.d_qk) +
              rows * static_cast<double>(shape.d_qk + shape.d_v));
}

}  // namespace seesaw::bench
