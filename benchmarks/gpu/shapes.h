// What is measured: shapes of dense decode.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "seesaw/types/attention_problem.h"

namespace seesaw::bench {

struct Shape {
  std::int64_t batch = 1;
  std::int64_t s_q = 1;
  std::int64_t h_q = 128;
  std::int64_t s_k = 8192;
  /// Lengths of a normal distribution around s_k with half of it as deviation, at least s_q.
  bool is_varied = false;
  std::int64_t d_qk = 576;
  std::int64_t d_v = 512;
  std::int64_t page_size = 64;
  DType dtype = DType::kBFloat16;
  bool is_quick = false;  // part of a quick run

  /// "b 128 s_q 1 h_q 128 s_k ~8192", and what differs from the usual.
  std::string name() const;
  AttentionProblem problem(Mask mask) const;
  /// The same for the same seed, whatever else is measured.
  std::vector<std::int32_t> lengths(std::uint64_t seed) const;
};

std::vector<Shape> all_shapes();

/// 2 * rows * keys * (d_qk + d_v), mask or not.
double num_operations(const Shape& shape, const std::vector<std::int32_t>& lengths);
/// Latents, queries and outputs, each counted once.
double num_bytes(const Shape& shape, const std::vector<std::int32_t>& lengths);

}  // namespace seesaw::bench
