#include "system/view_rules.h"

#include <fmt/format.h>

#include <numeric>
#include <string>

namespace seesaw {
namespace {

template <typename... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

std::string shape_term(const ViewRule& rule) {
  std::string text = "[";
  for (int i = 0; i < rule.rank; ++i) {
    if (i > 0) text += ", ";
    text += rule.dims[static_cast<std::size_t>(i)].term;
  }
  return text + "]";
}

Status check_type(const ConstTensorView& view, const ViewRule& rule) {
  if (view.is_empty_argument()) {
    return invalid("{}: is not given, must be {} {}", rule.name, to_string(rule.dtype),
                   shape_term(rule));
  }
  if (view.rank != rule.rank) {
    return invalid("{}.rank: is {}, must be {} ({})", rule.name, view.rank, rule.rank,
                   shape_term(rule));
  }
  if (view.dtype == rule.dtype) return Status::ok();
  if (rule.dtype_term == nullptr) {
    return invalid("{}.dtype: is {}, must be {}", rule.name, to_string(view.dtype),
                   to_string(rule.dtype));
  }
  return invalid("{}.dtype: is {}, must be {} = {}", rule.name, to_string(view.dtype),
                 rule.dtype_term, to_string(rule.dtype));
}

Status check_shape(const ConstTensorView& view, const ViewRule& rule) {
  for (int i = 0; i < rule.rank; ++i) {
    const DimRule& dim = rule.dims[static_cast<std::size_t>(i)];
    if (dim.size == kAnySize) {
      // Pages and table entries are int32, so no larger array could be addressed in full.
      constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
      if (view.dim(i) < 0 || view.dim(i) > kMost) {
        return invalid("{}.shape[{}]: is {}, must be {} in [0, {}]", rule.name, i, view.dim(i),
                       dim.term, kMost);
      }
    } else if (view.dim(i) != dim.size) {
      return invalid("{}.shape[{}]: is {}, must be {} = {}", rule.name, i, view.dim(i), dim.term,
                     dim.size);
    }
  }
  return Status::ok();
}

bool has_no_element(const ConstTensorView& view) {
  for (int i = 0; i < view.rank; ++i) {
    if (view.dim(i) == 0) return true;
  }
  return false;
}

/// Offsets of the first and last element, in bytes, stay within int64 for every stride.
Status check_extent(const ConstTensorView& view, const ViewRule& rule) {
  const auto element_bytes = static_cast<std::int64_t>(size_bytes(view.dtype));
  std::int64_t lowest = 0;
  std::int64_t highest = element_bytes;
  for (int i = 0; i < view.rank; ++i) {
    std::int64_t reach = 0;
    std::int64_t& end = view.step(i) < 0 ? lowest : highest;
    if (__builtin_mul_overflow(view.dim(i) - 1, view.step(i), &reach) ||
        __builtin_mul_overflow(reach, element_bytes, &reach) ||
        __builtin_add_overflow(end, reach, &end)) {
      return invalid("{}.stride[{}]: is {}, must keep every byte offset within int64 (shape {})",
                     rule.name, i, view.step(i), view.dim(i));
    }
  }
  return Status::ok();
}

/// Exact for each pair of dimensions: a * stride_i = b * stride_j has a solution with
/// 0 < a < shape_i and 0 < b < shape_j iff the smallest one, from the greatest common divisor, is
/// one. Overlaps that need three dimensions at once are not looked for.
Status check_no_overlap(const ConstTensorView& view, const ViewRule& rule) {
  for (int i = 0; i < view.rank; ++i) {
    if (view.dim(i) < 2) continue;
    bool overlaps = view.step(i) == 0;
    for (int j = i + 1; j < view.rank && !overlaps; ++j) {
      if (view.dim(j) < 2 || view.step(j) == 0) continue;
      const std::int64_t divisor = std::gcd(view.step(i), view.step(j));
      overlaps = std::abs(view.step(j) / divisor) < view.dim(i) &&
                 std::abs(view.step(i) / divisor) < view.dim(j);
    }
    if (overlaps) {
      return invalid("{}.stride[{}]: is {}, must not let two elements share memory (shape {})",
                     rule.name, i, view.step(i), view.dim(i));
    }
  }
  return Status::ok();
}

Status check_strides(const ConstTensorView& view, const ViewRule& rule) {
  const int last = view.rank - 1;
  if (rule.last_stride == LastStride::kUnit && view.dim(last) > 1 && view.step(last) != 1) {
    return invalid("{}.stride[{}]: is {}, must be 1", rule.name, last, view.step(last));
  }
  if (Status status = check_extent(view, rule); !status.is_ok()) return status;
  return rule.access == Access::kWrite ? check_no_overlap(view, rule) : Status::ok();
}

Status check_pointer(const ConstTensorView& view, const ViewRule& rule) {
  if (view.data == nullptr) {
    return invalid("{}.data: is null, must point to {} {}", rule.name, to_string(view.dtype),
                   shape_term(rule));
  }
  const std::size_t past = reinterpret_cast<std::uintptr_t>(view.data) % size_bytes(view.dtype);
  if (past != 0) {
    return invalid("{}.data: is {} past a multiple of {} bytes, must be aligned to its {} elements",
                   rule.name, past, size_bytes(view.dtype), to_string(view.dtype));
  }
  return Status::ok();
}

}  // namespace

Status check_view(const ConstTensorView& view, const ViewRule& rule) {
  if (Status status = check_type(view, rule); !status.is_ok()) return status;
  if (Status status = check_shape(view, rule); !status.is_ok()) return status;
  if (has_no_element(view)) return Status::ok();
  if (Status status = check_strides(view, rule); !status.is_ok()) return status;
  return check_pointer(view, rule);
}

Status check_absent(const ConstTensorView& view, const char* name, const char* reason) {
  if (view.is_empty_argument()) return Status::ok();
  return invalid("{}: is given, must not be given {}", name, reason);
}

}  // namespace seesaw
