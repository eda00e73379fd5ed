#include "support/oracle_row.h"

#include <stdexcept>

namespace seesaw::testing {
namespace {

OracleArray oracle_array(const ConstTensorView& view) {
  OracleArray array{view.data, view.dtype, {}};
  for (int i = 0; i < view.rank && i < 4; ++i) array.strides[i] = view.step(i);
  return array;
}

}  // namespace

OracleCall oracle_call(const AttentionProblem& problem, const DecodeArgs& args,
                       const std::int32_t* kv_lengths) {
  if (problem.phase != Phase::kDecode || problem.sparsity != Sparsity::kDense)
    throw std::invalid_argument("oracle_call: takes dense decode only");
  OracleCall call;
  call.q = oracle_array(args.q);
  call.kv_cache = oracle_array(args.cache.kv_cache);
  call.block_table = oracle_array(args.cache.block_table);
  if (problem.has_attn_sink) call.attn_sink = oracle_array(args.cache.attn_sink);
  call.kv_lengths = kv_lengths;
  call.s_q = problem.s_q;
  call.h_q = problem.h_q;
  call.heads_per_kv = problem.group_size();
  call.d_qk = problem.d_qk;
  call.d_v = problem.d_v;
  call.page_size = problem.page_size;
  call.is_causal = problem.mask == Mask::kCausal;
  call.scale = double{problem.scale()};
  return call;
}

algorithm::ReferenceOutputs empty_outputs(std::int64_t num_rows, std::int64_t d_v) {
  algorithm::ReferenceOutputs outputs;
  outputs.num_rows = num_rows;
  outputs.d_v = d_v;
  const auto rows = static_cast<std::size_t>(num_rows);
  outputs.lse.resize(rows);
  outputs.max_logits.resize(rows);
  outputs.rows.resize(rows);
  for (auto* array : {&outputs.out, &outputs.abs_sum, &outputs.deviation, &outputs.deviation_norm})
    array->resize(rows * static_cast<std::size_t>(d_v));
  return outputs;
}

void store_rows(std::span<const OracleRowResult> results, std::span<const OracleColumn> columns,
                std::int64_t first_row, algorithm::ReferenceOutputs& outputs) {
  auto row = static_cast<std::size_t>(first_row);
  std::size_t element = row * static_cast<std::size_t>(outputs.d_v);
  for (const OracleRowResult& result : results) {
    outputs.rows.at(row) = result.sensitivity;
    outputs.lse.at(row) = result.lse;
    outputs.max_logits.at(row++) = result.max_logit;
  }
  for (const OracleColumn& column : columns) {
    outputs.out.at(element) = column.out;
    outputs.abs_sum.at(element) = column.abs_sum;
    outputs.deviation.at(element) = column.deviation;
    outputs.deviation_norm.at(element++) = column.deviation_norm;
  }
}

}  // namespace seesaw::testing
