#include "overlap.h"

#include <string>

namespace seesaw::python {
namespace {

bool contains(const Extent& whole, std::uintptr_t address) {
  return whole.is_dense && whole.begin <= address && address < whole.end;
}

void check_pair(const Extent& output, const Extent& other) {
  if (output.begin == output.end || other.begin == other.end) return;
  if (output.first == other.first || contains(output, other.first) ||
      contains(other, output.first)) {
    refuse(output.name, std::string("where ") + other.name + " is", "memory of its own");
  }
}

}  // namespace

Extent::Extent(const char* array_name, const ConstTensorView& view) : name(array_name) {
  if (view.data == nullptr || view.rank < 1 || view.rank > kMaxRank) return;
  std::uint64_t count = 1, below = 0, above = 0;  // wrap where the library refuses the view
  for (int i = 0; i < view.rank; ++i) {
    if (view.dim(i) <= 0) return;
    const auto steps = static_cast<std::uint64_t>(view.dim(i) - 1);
    const auto step = static_cast<std::uint64_t>(view.step(i));
    count *= steps + 1;
    (view.step(i) < 0 ? below : above) += steps * (view.step(i) < 0 ? 0 - step : step);
  }
  const std::size_t size = size_bytes(view.dtype);
  first = reinterpret_cast<std::uintptr_t>(view.data);
  begin = first - below * size;
  end = first + (above + 1) * size;
  is_dense = below + above + 1 == count;
}

Extent::Extent(const char* array_name, std::span<const std::byte> bytes)
    : name(array_name),
      first(reinterpret_cast<std::uintptr_t>(bytes.data())),
      begin(first),
      end(first + bytes.size()) {}

void check_apart(std::initializer_list<Extent> outputs, std::span<const Extent> inputs) {
  for (const Extent* output = outputs.begin(); output != outputs.end(); ++output) {
    for (const Extent& input : inputs) check_pair(*output, input);
    for (const Extent* other = outputs.begin(); other != output; ++other) {
      check_pair(*output, *other);
    }
  }
}

}  // namespace seesaw::python
