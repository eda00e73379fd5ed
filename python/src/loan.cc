#include "loan.h"

#include "array.h"
#include "interpreter.h"

namespace seesaw::python {
namespace {

bool is_made_of(const ConstTensorView& view, const nb::dlpack::dltensor& tensor) {
  if (static_cast<std::byte*>(tensor.data) + tensor.byte_offset != view.data ||
      tensor.ndim != view.rank) {
    return false;
  }
  std::uint64_t step = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    const std::int64_t stride =
        tensor.strides != nullptr ? tensor.strides[i] : static_cast<std::int64_t>(step);
    // Of more dimensions than a view has the library wants none.
    if (i < kMaxRank && (tensor.shape[i] != view.dim(i) || stride != view.step(i))) return false;
    step *= static_cast<std::uint64_t>(tensor.shape[i]);
  }
  return true;
}

}  // namespace

void Loan::check(const ConstTensorView& view) const {
  if (!array.is_valid()) return;
  nb::dlpack::dltensor tensor;
  if (array_type_of(array).exchange->dltensor_from_py_object_no_sync(array.ptr(), &tensor) != 0) {
    clear_failure();
  } else if (is_made_of(view, tensor)) {
    return;
  }
  refuse(name, "changed by Python code of another argument",
         "left as it is until the call returns");
}

}  // namespace seesaw::python
