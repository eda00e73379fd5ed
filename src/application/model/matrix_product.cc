#include "model/matrix_product.h"

#include <cblas.h>

namespace seesaw::model {
namespace {

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
  if (out.rows == 1) {
    multiply_row(x, w, out, CblasTrans);  // (x w)^T = w^T x^T
  } else if (out.rows > 1) {
    multiply_rows(x, w, out, CblasNoTrans);
  }
}

void multiply_transposed(MatrixView x, MatrixView w, MutableMatrixView out) {
  if (out.rows == 1) {
    multiply_row(x, w, out, CblasNoTrans);
  } else if (out.rows > 1) {
    multiply_rows(x, w, out, CblasTrans);
  }
}

void set_product_threads(int num_threads) {
#ifdef SEESAW_HAS_OPENBLAS_THREADS
  openblas_set_num_threads(num_threads);
#else
  static_cast<void>(num_threads);
#endif
}

}  // namespace seesaw::model
