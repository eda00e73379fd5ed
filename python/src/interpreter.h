// The interpreter's lock, and its errors that are nobody's to translate.
#pragma once

#include <nanobind/nanobind.h>
#include <unistd.h>

namespace seesaw::python {

namespace nb = nanobind;

/// Drops the interpreter's lock while it lives.
class WithoutInterpreter {
 public:
  WithoutInterpreter() : thread_(PyEval_SaveThread()) {}
  WithoutInterpreter(const WithoutInterpreter&) = delete;
  WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;
  ~WithoutInterpreter() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (...) {
      // A daemon thread of an interpreter that is ending: Python 3.13 and older end it by unwinding
      // it, which no destructor survives. It waits here for the process to end.
      for (;;) pause();
    }
  }

 private:
  PyThreadState* thread_;
};

/// Of an error that is set: drops one that only says that an argument is no good. Throws the
/// others: KeyboardInterrupt and its like, MemoryError.
inline void clear_failure() {
  if (PyErr_Occurred() == nullptr) return;
  if (PyErr_ExceptionMatches(PyExc_Exception) != 0 &&
      PyErr_ExceptionMatches(PyExc_MemoryError) == 0) {
    PyErr_Clear();
    return;
  }
  throw nb::python_error();
}

/// The same of one that was caught.
inline void check_is_failure(const nb::python_error& error) {
  if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) {
    throw nb::python_error(error);
  }
}

}  // namespace seesaw::python
