// Status codes as Python exceptions with the library's messages.
#include <nanobind/stl/string.h>

#include <array>
#include <string>
#include <string_view>

#include "binding.h"

namespace seesaw::python {
namespace {

struct ErrorType {
  StatusCode code;
  const char* name;
  PyObject* second_base;  // the built-in exception that Python programs expect for it
  const char* doc;
};

// By code; kOk's place is the base class. Never released: raised until the interpreter is gone.
std::array<PyObject*, 10> error_types{};

PyObject* make_type(nb::module_& module, const char* name, const char* doc, nb::handle bases) {
  const std::string full_name = nb::cast<std::string>(module.attr("__name__")) + "." + name;
  PyObject* const type =
      PyErr_NewExceptionWithDoc(full_name.c_str(), doc, bases.ptr(), /*dict=*/nullptr);
  if (type == nullptr) throw nb::python_error();
  module.attr(name) = nb::handle(type);
  return type;
}

}  // namespace

void refuse(const char* argument, const std::string& actual, const std::string& expected) {
  throw Error(Status(StatusCode::kInvalidArgument,
                     std::string(argument) + ": is " + actual + ", must be " + expected));
}

void throw_type_error(const std::string& message, const nb::python_error* cause) {
  if (cause == nullptr) throw nb::type_error(message.c_str());
  nb::python_error copy(*cause);  // raising from one uses it up
  nb::raise_from(copy, PyExc_TypeError, "%s: %s", message.c_str(), message_of(*cause).c_str());
  throw nb::python_error();
}

Status renamed(const Status& status, std::string_view name, const std::string& argument) {
  const std::string_view message = status.message();
  if (status.is_ok() || !message.starts_with(name)) return status;
  const std::string_view rest = message.substr(name.size());
  if (rest.empty() || std::string_view(".:[").find(rest[0]) == std::string_view::npos) {
    return status;
  }
  return Status(status.code(), argument + std::string(rest));
}

void bind_errors(nb::module_& module) {
  const nb::handle base = error_types[0] =
      make_type(module, "SeesawError", "Any failure of the library.", nb::handle(PyExc_Exception));
  const ErrorType types[] = {
      {StatusCode::kInvalidArgument, "InvalidArgumentError", PyExc_ValueError,
       "Values contradict each other or the contract."},
      {StatusCode::kUnsupported, "UnsupportedError", PyExc_NotImplementedError,
       "Well formed, but no kernel serves it here; the message has each kernel's reason."},
      {StatusCode::kWorkspaceTooSmall, "WorkspaceTooSmallError", PyExc_RuntimeError,
       "The workspace is smaller than the plan asks."},
      {StatusCode::kOutOfPages, "OutOfPagesError", PyExc_RuntimeError,
       "The page pool is exhausted; nothing was changed."},
      {StatusCode::kCorruptData, "CorruptDataError", PyExc_ValueError,
       "Checked data is out of range; the first bad entry is named."},
      {StatusCode::kDeviceError, "DeviceError", PyExc_RuntimeError,
       "The device refused or is not present."},
      {StatusCode::kIoError, "IoError", PyExc_OSError, "A file could not be read or written."},
      {StatusCode::kInternal, "InternalError", PyExc_RuntimeError,
       "A broken invariant of the library: please report it."},
      {StatusCode::kOutOfMemory, "OutOfMemoryError", PyExc_MemoryError,
       "The host has no memory left."},
  };
  for (const ErrorType& type : types) {
    error_types[static_cast<std::size_t>(type.code)] =
        make_type(module, type.name, type.doc, nb::make_tuple(base, nb::handle(type.second_base)));
  }
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& error) {
      const auto code = static_cast<std::size_t>(error.status().code());
      PyErr_SetString(error_types[code < error_types.size() ? code : 0], error.what());
    }
  });
}

}  // namespace seesaw::python
