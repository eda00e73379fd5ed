#include "model/row_ops.h"

#include <cmath>

namespace seesaw::model {

void rms_norm(MatrixView x, const float* weight, double eps, MutableMatrixView out) {
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const float* from = x.data + row * x.stride;
    float* to = out.data + row * out.stride;
    double sum = 0.0;
    for (std::int64_t i = 0; i < x.cols; ++i) sum += static_cast<double>(from[i]) * from[i];
    const auto scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(x.cols) + eps));
    for (std::int64_t i = 0; i < x.cols; ++i) to[i] = from[i] * scale * weight[i];
  }
}

void add_bias(const float* bias, MutableMatrixView x) {
  for (std::int64_t row = 0; row < x.rows; ++row) {
    add_scaled(bias, 1.0f, x.cols, x.data + row * x.stride);
  }
}

void add_scaled(const float* x, float factor, std::int64_t size, float* out) {
  for (std::int64_t i = 0; i < size; ++i) out[i] += factor * x[i];
}

void gate_silu(MatrixView up, MutableMatrixView gate) {
  for (std::int64_t row = 0; row < up.rows; ++row) {
    const float* u = up.data + row * up.stride;
    float* g = gate.data + row * gate.stride;
    for (std::int64_t i = 0; i < up.cols; ++i) g[i] = g[i] / (1.0f + std::exp(-g[i])) * u[i];
  }
}

}  // namespace seesaw::model
