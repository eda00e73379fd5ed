// Compares some rows of a measured workload with the float64 oracle.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "algorithm/reference_attention.h"
#include "gpu/measure.h"

namespace seesaw::bench {
namespace {

constexpr double kLargestError = 2.0 / 256;  // bfloat16 is on the way
constexpr std::int64_t kKeyBudget = 40'000;

struct CheckedRow {
  std::int64_t request_idx = 0;
  std::int64_t query_idx = 0;
  std::int64_t head_idx = 0;
};

/// The request's keys, one after the other.
std::vector<std::uint16_t> download_keys(const Workload& workload, const Pool& pool,
                                         const Stream& stream, std::int64_t request_idx,
                                         std::int64_t num_keys) {
  const Shape& shape = workload.shape();
  const std::vector<std::int32_t>& table = workload.block_table(0);
  std::vector<std::uint16_t> keys(static_cast<std::size_t>(num_keys * shape.d_qk));
  for (std::int64_t first = 0; first < num_keys; first += shape.page_size) {
    const std::int64_t count = std::min(shape.page_size, num_keys - first);
    const std::int64_t page = table[static_cast<std::size_t>(request_idx * workload.table_width() +
                                                             first / shape.page_size)];
    const auto slots = std::span(keys).subspan(static_cast<std::size_t>(first * shape.d_qk),
                                               static_cast<std::size_t>(count * shape.d_qk));
    pool.pages.download(std::as_writable_bytes(slots), stream.get(),
                        static_cast<std::size_t>(2 * page * shape.page_size * shape.d_qk));
  }
  stream.synchronize();
  return keys;
}

std::vector<std::uint16_t> download_row(const DeviceBuffer& buffer, const Stream& stream,
                                        const Shape& shape, const CheckedRow& row,
                                        std::int64_t width) {
  const std::int64_t row_idx =
      (row.request_idx * shape.s_q + row.query_idx) * shape.h_q + row.head_idx;
  std::vector<std::uint16_t> values(static_cast<std::size_t>(width));
  buffer.download(std::as_writable_bytes(std::span(values)), stream.get(),
                  static_cast<std::size_t>(2 * row_idx * width));
  stream.synchronize();
  return values;
}

double widened(std::uint16_t bits, DType dtype) {
  return dtype == DType::kBFloat16 ? float(BFloat16::from_bits(bits))
                                   : float(Float16::from_bits(bits));
}

}  // namespace

void check_result(Workload& workload, const Pool& pool, const Stream& stream, Mask mask, Row& row) {
  const Shape& shape = workload.shape();
  require_cuda(cudaMemset(pool.outputs.data(), 0xff, pool.outputs.size()), "cudaMemset");
  workload.prepare();
  workload.decode(0);
  stream.synchronize();
  double error = 0;
  double size = 0;
  std::int64_t keys_left = kKeyBudget;
  for (const CheckedRow& checked :
       {CheckedRow{0, 0, 0}, CheckedRow{shape.batch - 1, shape.s_q - 1, shape.h_q - 1},
        CheckedRow{shape.batch / 2, shape.s_q / 2, shape.h_q / 2}}) {
    std::int32_t num_keys = workload.lengths()[static_cast<std::size_t>(checked.request_idx)];
    if (mask == Mask::kCausal)
      num_keys -= static_cast<std::int32_t>(shape.s_q - 1 - checked.query_idx);
    keys_left -= num_keys;
    if (keys_left < 0 && size > 0) break;
    const auto keys = download_keys(workload, pool, stream, checked.request_idx, num_keys);
    const auto query = download_row(pool.queries, stream, shape, checked, shape.d_qk);
    const auto actual = download_row(pool.outputs, stream, shape, checked, shape.d_v);
    algorithm::ReferenceInputs inputs;
    inputs.problem = shape.problem(Mask::kNone);
    inputs.problem.batch = inputs.problem.s_q = inputs.problem.h_q = 1;
    inputs.problem.page_size = num_keys;
    const std::int32_t first_page = 0;
    inputs.kv_lengths = {&num_keys, 1};
    inputs.q = ConstTensorView(query.data(), shape.dtype, {1, 1, 1, shape.d_qk});
    inputs.kv_cache = ConstTensorView(keys.data(), shape.dtype, {1, num_keys, 1, shape.d_qk});
    inputs.block_table = ConstTensorView(&first_page, DType::kInt32, {1, 1});
    const auto reference = algorithm::reference_attention(inputs);
    for (std::size_t d = 0; d < actual.size(); ++d) {
      const double difference = widened(actual[d], shape.dtype) - reference.out[d];
      error += difference * difference;
      size += reference.out[d] * reference.out[d];
    }
  }
  row.relative_error = std::sqrt(error / size);
  row.is_correct = row.relative_error <= kLargestError;  // false of NaN
}

}  // namespace seesaw::bench
