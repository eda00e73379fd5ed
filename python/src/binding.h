// What the files of the extension module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "seesaw/seesaw.h"

namespace seesaw::python {

namespace nb = nanobind;

/// An array of any producer, kept alive, and the library's view of it. Not given: rank 0.
template <typename View, typename Array>
struct Argument {
  Array array;
  View view{};
};
using Input = Argument<ConstTensorView, nb::ndarray<nb::ro>>;
using Output = Argument<TensorView, nb::ndarray<>>;

/// The view of `object`, which must be an array that lies where `executor` runs. Nothing is copied.
/// uint16 stands for the bits of bfloat16. Errors: TypeError (no array), Error (kInvalidArgument).
Input input(const char* name, nb::handle object, const Executor& executor);
Output output(const char* name, nb::handle object, const Executor& executor);
/// The same, and a view of rank 0 for None.
Input optional_input(const char* name, nb::handle object, const Executor& executor);
Output optional_output(const char* name, nb::handle object, const Executor& executor);

/// An uninitialized numpy array. bfloat16 is made as the dtype of `like` where that is ml_dtypes',
/// else as uint16.
nb::object new_numpy_array(const std::vector<std::int64_t>& shape, DType dtype, nb::handle like);

/// `object` as int32 numbers: a sequence of integers, or an int32 array of rank 1 on the CPU. None
/// is empty.
std::vector<std::int32_t> read_lengths(const char* name, nb::handle object);

/// Throws Error (kInvalidArgument): `argument: is ACTUAL, must be EXPECTED`.
[[noreturn]] void refuse(const char* argument, const std::string& actual,
                         const std::string& expected);

/// A work plan with the workspace that it needs. The mutex orders calls that use either; whoever
/// holds it never waits for the interpreter's lock.
class Plan {
 public:
  explicit Plan(WorkPlan work_plan) : work(std::move(work_plan)) {}

  /// Grows the workspace where the plan asks for more than it has. A CUDA plan's contents are lost
  /// with it, so only prepare may grow that one.
  std::span<std::byte> grow_workspace(const Executor& executor);
  /// The workspace for decode and prefill. Errors by exception: kInvalidArgument (a CUDA plan that
  /// was not prepared for this device).
  std::span<std::byte> ready_workspace(const Executor& executor);

  WorkPlan work;
  std::mutex mutex;

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::unique_ptr<std::byte, Free> host_memory_;
  std::size_t host_bytes_ = 0;
  DeviceMemory device_memory_;
  int device_ordinal_ = -1;
};

void bind_errors(nb::module_& module);
void bind_types(nb::module_& module);
void bind_attention(nb::module_& module);
void bind_cache(nb::module_& module);

}  // namespace seesaw::python
