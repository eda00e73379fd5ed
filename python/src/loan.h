// Arrays that their type lends: nothing keeps their memory but the array, and Python code that runs
// while a call still takes its other arguments may give it another.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "seesaw/seesaw.h"

namespace seesaw::python {

namespace nb = nanobind;

/// How often Python code of a program's own may have run inside a call: exports, and methods of
/// types derived from a framework's. The interpreter's lock guards it.
inline std::uint64_t num_foreign_calls = 0;

struct Loan {
  nb::handle array{};  // null: not lent
  const char* name = nullptr;

  /// Errors: Error (kInvalidArgument), where the array is no longer what `view` was made of.
  void check(const ConstTensorView& view) const;
};

/// What a call takes between this and check() stays as it was taken, or is refused.
class Loans {
 public:
  /// Of arguments of a call, when all of them are taken and no more of Python runs.
  template <typename... Arguments>
  void check(const Arguments&... arguments) const {
    if (num_foreign_calls == before_) return;
    (arguments.loan.check(arguments.view), ...);
  }

 private:
  std::uint64_t before_ = num_foreign_calls;
};

}  // namespace seesaw::python
