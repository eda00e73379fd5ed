// Block products by oneDNN's matmul primitives: bfloat16 (float32 for a float32 cache) operands,
// float32 results. Primitives and memory objects are made once and reused.
#pragma once

#include "baselines/two_products.h"

namespace seesaw::bench {

class OneDnnLibrary final : public ProductLibrary {
 public:
  std::string name() const override;
  DType weights_dtype(DType cache) const override { return cache; }
  std::unique_ptr<BlockProducts> make(const BlockSizes& sizes, int num_threads) const override;
  void set_num_threads(int num_threads) const override;
  bool runs_on_openmp() const override { return true; }
};

}  // namespace seesaw::bench
