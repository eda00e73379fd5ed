// What happens to rows of activations between matrix products.
#pragma once

#include <cstdint>

#include "model/matrix_product.h"

namespace seesaw::model {

/// out = x / sqrt(mean(x^2) + eps) * weight, row by row; out may be x. Sums in float64.
void rms_norm(MatrixView x, const float* weight, double eps, MutableMatrixView out);

/// x += bias, row by row.
void add_bias(const float* bias, MutableMatrixView x);

/// out += factor * x, one row.
void add_scaled(const float* x, float factor, std::int64_t size, float* out);

/// gate = silu(gate) * up, where silu(x) = x / (1 + exp(-x)).
void gate_silu(MatrixView up, MutableMatrixView gate);

}  // namespace seesaw::model
