// Float32 matrix products, by BLAS.
#pragma once

#include <cstdint>

namespace seesaw::model {

/// A row-major float32 matrix in somebody else's memory; row i starts at data + i * stride.
struct MatrixView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;
};

struct MutableMatrixView {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  operator MatrixView() const noexcept { return {data, rows, cols, stride}; }  // NOLINT
};

/// out [m, n] = x [m, k] * w [k, n]. Nothing may overlap out.
void multiply(MatrixView x, MatrixView w, MutableMatrixView out);

/// out [m, n] = x [m, k] * w [n, k]^T: a linear layer with w as checkpoints store it.
void multiply_transposed(MatrixView x, MatrixView w, MutableMatrixView out);

/// Threads for the large products of the whole process; small ones take one. Without effect where
/// the BLAS has no such call.
void set_product_threads(int num_threads);

}  // namespace seesaw::model
