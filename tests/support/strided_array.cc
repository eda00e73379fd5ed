#include "support/strided_array.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace seesaw::testing {
namespace {

/// The bits of poison, in the type's own width.
std::uint32_t poison_bits(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return 0x7fd5a5a5u;
    case DType::kBFloat16:
      return 0x7fd5u;
    case DType::kFloat16:
      return 0x7ed5u;
    default:
      return 0x7fffffffu;  // INT_MAX
  }
}

}  // namespace

StridedArray::StridedArray(DType dtype, std::vector<std::int64_t> shape,
                           std::vector<std::int64_t> strides, std::int64_t lead)
    : dtype_(dtype), shape_(std::move(shape)), strides_(std::move(strides)), lead_(lead) {
  std::int64_t reach = 1;
  for (std::size_t i = 0; i < shape_.size(); ++i) reach += (shape_[i] - 1) * strides_[i];
  const bool is_empty = std::find(shape_.begin(), shape_.end(), 0) != shape_.end();
  size_ = lead_ + (is_empty ? 0 : reach);
  // Not a vector: its capacity may exceed its size, which would hide reads behind the end.
  memory_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(size_) *
                                                        size_bytes(dtype_));
  poison();
}

StridedArray::StridedArray(DType dtype, std::vector<std::int64_t> shape)
    : StridedArray(dtype, shape, [&] {
        std::vector<std::int64_t> strides(shape.size());
        std::int64_t step = 1;
        for (std::size_t i = shape.size(); i-- > 0; step *= shape[i]) strides[i] = step;
        return strides;
      }()) {}

TensorView StridedArray::view() const {
  TensorView view;
  if (memory_ == nullptr) return view;
  view.data = element(0);
  view.dtype = dtype_;
  view.rank = static_cast<int>(shape_.size());
  for (std::size_t i = 0; i < shape_.size(); ++i) {
    view.shape[i] = shape_[i];
    view.stride[i] = strides_[i];
  }
  return view;
}

TensorView StridedArray::view_of_copy(std::byte* copy) const {
  TensorView copied = view();
  if (memory_ != nullptr)
    copied.data = copy + lead_ * static_cast<std::int64_t>(size_bytes(dtype_));
  return copied;
}

std::int64_t StridedArray::num_elements() const {
  if (memory_ == nullptr) return 0;
  std::int64_t count = 1;
  for (std::int64_t dim : shape_) count *= dim;
  return count;
}

std::int64_t StridedArray::offset(const std::vector<std::int64_t>& place) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < place.size(); ++i) {
    if (place[i] < 0 || place[i] >= shape_[i]) throw std::out_of_range("StridedArray::offset");
    sum += place[i] * strides_[i];
  }
  return sum;
}

std::byte* StridedArray::element(std::int64_t offset) const {
  return memory_.get() + (lead_ + offset) * static_cast<std::int64_t>(size_bytes(dtype_));
}

double StridedArray::read(std::int64_t offset) const {
  const void* source = element(offset);
  switch (dtype_) {
    case DType::kFloat32:
      return *static_cast<const float*>(source);
    case DType::kBFloat16:
      return float(*static_cast<const BFloat16*>(source));
    case DType::kFloat16:
      return float(*static_cast<const Float16*>(source));
    case DType::kInt32:
      return *static_cast<const std::int32_t*>(source);
    default:
      throw std::invalid_argument("StridedArray: element type");
  }
}

void StridedArray::write(std::int64_t offset, double value) {
  void* target = element(offset);
  const auto narrowed = static_cast<float>(value);
  switch (dtype_) {
    case DType::kFloat32:
      *static_cast<float*>(target) = narrowed;
      break;
    case DType::kBFloat16:
      *static_cast<BFloat16*>(target) = BFloat16(narrowed);
      break;
    case DType::kFloat16:
      *static_cast<Float16*>(target) = Float16(narrowed);
      break;
    case DType::kInt32:
      *static_cast<std::int32_t*>(target) = static_cast<std::int32_t>(value);
      break;
    default:
      throw std::invalid_argument("StridedArray: element type");
  }
}

void StridedArray::write_row(std::int64_t offset, std::span<const double> values) {
  if (strides_.back() != 1) throw std::invalid_argument("StridedArray::write_row: has gaps");
  for (std::size_t i = 0; i < values.size(); ++i)
    write(offset + static_cast<std::int64_t>(i), values[i]);
}

std::vector<std::int64_t> StridedArray::all_offsets() const {
  std::vector<std::int64_t> offsets;
  if (memory_ == nullptr) return offsets;
  offsets.push_back(0);
  for (std::size_t i = 0; i < shape_.size(); ++i) {
    std::vector<std::int64_t> finer;
    finer.reserve(offsets.size() * static_cast<std::size_t>(shape_[i]));
    for (std::int64_t base : offsets)
      for (std::int64_t place = 0; place < shape_[i]; ++place)
        finer.push_back(base + place * strides_[i]);
    offsets = std::move(finer);
  }
  return offsets;
}

std::vector<double> StridedArray::values() const {
  std::vector<double> values;
  for (std::int64_t place : all_offsets()) values.push_back(read(place));
  return values;
}

void StridedArray::poison() {
  const std::uint32_t bits = poison_bits(dtype_);
  if (size_bytes(dtype_) == sizeof bits) {
    std::fill_n(reinterpret_cast<std::uint32_t*>(memory_.get()), size_, bits);
  } else if (size_bytes(dtype_) == sizeof(std::uint16_t)) {
    std::fill_n(reinterpret_cast<std::uint16_t*>(memory_.get()), size_,
                static_cast<std::uint16_t>(bits));
  } else {
    throw std::invalid_argument("StridedArray: element type");
  }
}

bool StridedArray::gaps_are_untouched() const {
  std::vector<bool> in_view(static_cast<std::size_t>(size_), false);
  for (std::int64_t place : all_offsets()) in_view[static_cast<std::size_t>(lead_ + place)] = true;
  const std::uint32_t bits = poison_bits(dtype_);
  for (std::int64_t i = 0; i < size_; ++i) {
    if (!in_view[static_cast<std::size_t>(i)] &&
        std::memcmp(element(i - lead_), &bits, size_bytes(dtype_)) != 0)
      return false;
  }
  return true;
}

}  // namespace seesaw::testing
