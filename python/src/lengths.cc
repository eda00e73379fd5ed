// Lengths known to the host: lists of ints, and int32 arrays.
#include <nanobind/stl/string.h>

#include <limits>
#include <string>

#include "array.h"
#include "frameworks.h"
#include "interpreter.h"

namespace seesaw::python {
namespace {

std::int32_t read_length(const std::string& place, nb::handle item) {
  // An int, or what stands for one without loss, as a numpy integer does.
  const nb::object number = nb::steal(PyNumber_Index(item.ptr()));
  if (!number.is_valid()) {
    const nb::python_error error;
    check_is_failure(error);
    // What has no __index__ has nothing else to say.
    throw_type_error(place + ": is " + nb::cast<std::string>(nb::repr(item)) + ", must be an int",
                     PyIndex_Check(item.ptr()) != 0 ? &error : nullptr);
  }
  std::int32_t length = 0;
  if (!nb::try_cast(number, length)) {
    refuse(place.c_str(), nb::cast<std::string>(nb::str(number)), "an int32");
  }
  return length;
}

[[noreturn]] void refuse_lengths(const char* name, nb::handle object) {
  throw nb::type_error((std::string(name) + ": is " +
                        nb::cast<std::string>(nb::str(nb::type_name(object.type()))) +
                        ", must be a list of ints or an int32 array")
                           .c_str());
}

/// As the library does of the arrays that it reads itself.
void check_data(const char* name, const ConstTensorView& lengths) {
  const std::string argument = std::string(name) + ".data";
  if (lengths.data == nullptr) refuse(argument.c_str(), "null", "int32 numbers in memory");
  const auto past = reinterpret_cast<std::uintptr_t>(lengths.data) % sizeof(std::int32_t);
  if (past == 0) return;
  refuse(argument.c_str(), std::to_string(past) + " past a multiple of 4 bytes",
         "aligned to its int32 elements");
}

}  // namespace

std::vector<std::int32_t> read_lengths(const char* name, nb::handle array) {
  std::vector<std::int32_t> lengths;
  if (array.is_none()) return lengths;
  if (nb::isinstance<nb::list>(array) || nb::isinstance<nb::tuple>(array)) {
    for (nb::handle item : array) {
      lengths.push_back(
          read_length(std::string(name) + "[" + std::to_string(lengths.size()) + "]", item));
    }
    return lengths;
  }
  // Read here and now: a copy from a device would wait for it.
  if (!place_of(name, array_type_of(array), array).is_host()) {
    refuse(name, "on a device", "on the CPU");
  }
  Input argument;
  try {
    argument = input(name, array, Target());
  } catch (const nb::builtin_exception&) {
    refuse_lengths(name, array);
  }
  const ConstTensorView& view = argument.view;
  if (view.rank != 1) {
    refuse((std::string(name) + ".rank").c_str(), std::to_string(view.rank), "1");
  }
  if (view.dtype != DType::kInt32) {
    refuse((std::string(name) + ".dtype").c_str(), to_string(view.dtype), "int32");
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();  // as of a batch
  if (view.dim(0) < 0 || view.dim(0) > kMost) {
    refuse((std::string(name) + ".shape[0]").c_str(), std::to_string(view.dim(0)),
           "in [0, " + std::to_string(kMost) + "]");
  }
  if (view.dim(0) == 0) return lengths;
  check_data(name, view);
  const auto* const data = static_cast<const std::int32_t*>(view.data);
  lengths.reserve(static_cast<std::size_t>(view.dim(0)));
  for (std::int64_t i = 0; i < view.dim(0); ++i) lengths.push_back(data[i * view.step(0)]);
  return lengths;
}

}  // namespace seesaw::python
