// Arrays of any producer as the library's views.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frameworks.h"
#include "loan.h"
#include "seesaw/seesaw.h"

namespace seesaw::python {

namespace nb = nanobind;

/// The library's view of an array, and what keeps its memory: nothing where the array's own type
/// lends it, as then the caller's reference does (Loans: and does still). Not given: rank 0.
template <typename View>
struct Argument {
  View view{};
  nb::ndarray<nb::ro> owner{};
  Loan loan{};
};
using Input = Argument<ConstTensorView>;
using Output = Argument<TensorView>;

/// The view of `array`, which must lie where `target` is. Nothing is copied, and nothing waits
/// on the host: on a device the target's stream is made to wait where the producer's is another.
/// uint16 stands for the bits of bfloat16. Errors: TypeError (no array), Error (kInvalidArgument).
Input input(const char* name, nb::handle array, const Target& target);
/// The same of an array that may be written.
Output output(const char* name, nb::handle array, const Target& target);
/// The same, and a view of rank 0 for None.
Input optional_input(const char* name, nb::handle array, const Target& target);

/// `array` as a workspace: uint8, one dimension, no gaps.
std::span<std::byte> workspace_bytes(const Output& workspace);

/// `array` as int32 numbers: a sequence of integers, or an int32 array of rank 1 on the CPU. None
/// is empty.
std::vector<std::int32_t> read_lengths(const char* name, nb::handle array);

/// A failure of the library in the words of Python's arguments: `name` at the begin of its message
/// is `argument` there.
Status renamed(const Status& status, std::string_view name, const std::string& argument);

/// Throws Error (kInvalidArgument): `argument: is ACTUAL, must be EXPECTED`.
[[noreturn]] void refuse(const char* argument, const std::string& actual,
                         const std::string& expected);

/// Throws TypeError, raised from `cause` and with its words where there is one.
[[noreturn]] void throw_type_error(const std::string& message, const nb::python_error* cause);

}  // namespace seesaw::python
