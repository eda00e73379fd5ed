// Block products by OpenBLAS's sgemm; a bfloat16 cache is widened to float32 a block at a time.
#pragma once

#include "baselines/two_products.h"

namespace seesaw::bench {

class OpenBlasLibrary final : public ProductLibrary {
 public:
  std::string name() const override;
  DType weights_dtype(DType) const override { return DType::kFloat32; }
  std::unique_ptr<BlockProducts> make(const BlockSizes& sizes, int num_threads) const override;
  void set_num_threads(int num_threads) const override;
  bool runs_on_openmp() const override { return false; }
};

/// The kernel family OpenBLAS picked for this CPU, e.g. "Haswell".
std::string openblas_core_name();

}  // namespace seesaw::bench
