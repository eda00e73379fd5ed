#include "model/matrix_product.h"

#include <cblas.h>

#include <atomic>

namespace seesaw::model {
namespace {

// Multiply-adds from which on it pays to wake BLAS's other threads: some hundred microseconds of
// one core. Below, waiting for them costs more, and they go on spinning where attention wants the
// core.
constexpr std::int64_t kThreadedProduct = std::int64_t{1} << 23;

std::atomic<int> most_threads{1};  // for the whole process, as BLAS's own setting is

void choose_threads(MatrixView w, std::int64_t num_rows) {
#ifdef SEESAW_HAS_OPENBLAS_THREADS
  const bool is_large = w.rows * w.cols >= kThreadedProduct / num_rows;
  openblas_set_num_threads(is_large ? most_threads.load(std::memory_order_relaxed) : 1);
#else
  static_cast<void>(w);
  static_cast<void>(num_rows);
#endif
}

// One row needs each weight once: a matrix-vector product reads it in place, where a matrix product
// would first copy it into packed panels.
void multiply_row(MatrixView x, MatrixView w, MutableMatrixView out, CBLAS_TRANSPOSE transpose) {
  cblas_sgemv(CblasRowMajor, transpose, static_cast<int>(w.rows), static_cast<int>(w.cols), 1.0f,
              w.data, static_cast<int>(w.stride), x.data, 1, 0.0f, out.data, 1);
}

void multiply_rows(MatrixView x, MatrixView w, MutableMatrixView out, CBLAS_TRANSPOSE transpose) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose, static_cast<int>(out.rows),
              static_cast<int>(out.cols), static_cast<int>(x.cols), 1.0f, x.data,
              static_cast<int>(x.stride), w.data, static_cast<int>(w.stride), 0.0f, out.data,
              static_cast<int>(out.stride));
}

}  // namespace

void multiply(MatrixView x, MatrixView w, MutableMatrixView out) {
  if (out.rows < 1) return;
  choose_threads(w, out.rows);
  if (out.rows == 1) {
    multiply_row(x, w, out, CblasTrans);  // (x w)^T = w^T x^T
  } else {
    multiply_rows(x, w, out, CblasNoTrans);
  }
}

void multiply_transposed(MatrixView x, MatrixView w, MutableMatrixView out) {
  if (out.rows < 1) return;
  choose_threads(w, out.rows);
  if (out.rows == 1) {
    multiply_row(x, w, out, CblasNoTrans);
  } else {
    multiply_rows(x, w, out, CblasTrans);
  }
}

void set_product_threads(int num_threads) {
  most_threads.store(num_threads, std::memory_order_relaxed);
}

}  // namespace seesaw::model
