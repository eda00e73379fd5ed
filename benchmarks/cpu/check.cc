#include "cpu/check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "algorithm/reference_attention.h"

namespace seesaw::bench {
namespace {

double value_at(const void* values, DType dtype, std::int64_t i) {
  return dtype == DType::kBFloat16 ? static_cast<float>(static_cast<const BFloat16*>(values)[i])
                                   : static_cast<const float*>(values)[i];
}

/// The oracle's row, as a request of its own: one head, one query, the keys that query sees.
std::vector<double> oracle_row(const CheckedOutput& output, std::int64_t row) {
  const Work& work = output.work;
  algorithm::ReferenceInputs inputs;
  inputs.problem = work.problem();
  inputs.problem.phase = Phase::kDecode;
  inputs.problem.mask = Mask::kNone;
  inputs.problem.s_q = 1;
  inputs.problem.h_q = 1;
  inputs.problem.q_dtype = output.queries_dtype;
  const std::array lengths = {static_cast<std::int32_t>(work.num_visible(row / work.h_q))};
  inputs.kv_lengths = lengths;
  const auto* queries = static_cast<const std::byte*>(output.queries);
  const std::int64_t row_bytes =
      Work::kDQk * static_cast<std::int64_t>(size_bytes(output.queries_dtype));
  inputs.q =
      ConstTensorView(queries + row * row_bytes, output.queries_dtype, {1, 1, 1, Work::kDQk});
  inputs.kv_cache = output.pages;
  inputs.block_table = output.block_table;
  return algorithm::reference_attention(inputs).out;
}

}  // namespace

double relative_error(const CheckedOutput& output, std::uint64_t seed) {
  const std::int64_t last_row = output.work.num_rows() - 1;
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<std::int64_t> any_row(0, last_row);
  const std::array rows = {std::int64_t{0}, last_row, any_row(generator), any_row(generator)};
  double difference = 0;
  double magnitude = 0;
  for (std::int64_t row : rows) {
    const std::vector<double> expected = oracle_row(output, row);
    for (std::int64_t i = 0; i < Work::kDV; ++i) {
      const double wanted = expected[static_cast<std::size_t>(i)];
      const double delta = value_at(output.out, output.out_dtype, row * Work::kDV + i) - wanted;
      difference += delta * delta;
      magnitude += wanted * wanted;
    }
  }
  return std::sqrt(difference / magnitude);
}

double error_limit(bool has_bfloat16) { return has_bfloat16 ? 2.0 / 256 : 1e-5; }

}  // namespace seesaw::bench
