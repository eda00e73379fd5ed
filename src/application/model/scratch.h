// Memory for activations that is kept from step to step.
#pragma once

#include <cstdint>
#include <vector>

#include "model/matrix_product.h"

namespace seesaw::model {

/// A matrix whose size changes with every step; it grows to the largest and stays there. Contents
/// after a change of size are unspecified.
class Scratch {
 public:
  MutableMatrixView resize(std::int64_t rows, std::int64_t cols) {
    const auto size = static_cast<std::size_t>(rows * cols);
    if (memory_.size() < size) memory_.resize(size);
    return {memory_.data(), rows, cols, cols};
  }

 private:
  std::vector<float> memory_;
};

}  // namespace seesaw::model
