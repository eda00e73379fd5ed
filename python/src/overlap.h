// Outputs must have memory of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "array.h"

namespace seesaw::python {

/// The addresses of an array's elements.
struct Extent {
  Extent(const char* array_name, const ConstTensorView& view);
  Extent(const char* array_name, std::span<const std::byte> bytes);

  const char* name;
  std::uintptr_t first = 0;           // of its first element
  std::uintptr_t begin = 0, end = 0;  // nothing of it is outside; equal: it has no memory
  bool is_dense = true;               // all between them is its
};

/// Refuses outputs of which it is plain that they lie in the memory of an input or of another
/// output: those that begin in one without gaps, or where any begins. Errors: Error
/// (kInvalidArgument).
void check_apart(std::initializer_list<Extent> outputs, std::span<const Extent> inputs);
inline void check_apart(std::initializer_list<Extent> outputs,
                        std::initializer_list<Extent> inputs) {
  check_apart(outputs, std::span(inputs.begin(), inputs.size()));
}

}  // namespace seesaw::python
