// Every contender's output is held against the float64 oracle before its time counts.
#pragma once

#include <cstdint>

#include "cpu/work_list.h"
#include "seesaw/types/tensor_view.h"

namespace seesaw::bench {

/// One computed request and what it was computed from.
struct CheckedOutput {
  Work work;
  const void* queries = nullptr;  // [s_q, h_q, d_qk], gapless
  DType queries_dtype = DType::kBFloat16;
  ConstTensorView pages;        // [num_pages, page_size, 1, d_qk]
  ConstTensorView block_table;  // [1, s_k / page_size]
  const void* out = nullptr;    // [s_q, h_q, d_v], gapless
  DType out_dtype = DType::kBFloat16;
};

/// |out - oracle| / |oracle| in the Euclidean norm, over a few rows: the first, the last and
/// others drawn from `seed`. NaN where out holds one.
double relative_error(const CheckedOutput& output, std::uint64_t seed);

/// The largest relative_error that is taken for correct: twice the unit roundoff of the narrowest
/// type on the way where that is bfloat16 (weights and output are each rounded once, and the
/// roundings of many terms average out), and 1e-5 where all is float32.
double error_limit(bool has_bfloat16);

}  // namespace seesaw::bench
