// The extension module seesaw_mla._core.
#include <cstddef>
#include <iterator>

#include "binding.h"

NB_MODULE(_core_of_main_interpreter, module) {
  module.doc() = "Multi-head Latent Attention over a paged latent cache: the library's C++ API.";
  module.attr("version") = SEESAW_VERSION;
  // torch.library keeps functions that it was given, and what they refer to, beyond the
  // interpreter.
  nanobind::set_leak_warnings(false);
  seesaw::python::bind_errors(module);
  seesaw::python::bind_types(module);
  seesaw::python::bind_frameworks(module);
  seesaw::python::bind_planning(module);
  seesaw::python::bind_attention(module);
  seesaw::python::bind_cache(module);
}

namespace {

/// Of this module, as of nanobind, there is one in a process: a second one would leave the first
/// with the other interpreter's types.
int check_is_main_interpreter(PyObject*) {
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0) return 0;
  PyErr_SetString(PyExc_ImportError, "seesaw_mla: cannot be imported in a subinterpreter");
  return -1;
}

}  // namespace

/// nanobind's module, with the check above before all else that is done when it is imported.
extern "C" NB_EXPORT PyObject* PyInit__core() {
  static PyModuleDef_Slot slots[8] = {
      {Py_mod_exec, reinterpret_cast<void*>(&check_is_main_interpreter)}};
  PyObject* const made = PyInit__core_of_main_interpreter();
  auto* const definition = reinterpret_cast<PyModuleDef*>(made);
  if (made == nullptr || definition->m_slots == slots) return made;
  std::size_t used = 0;
  for (; definition->m_slots[used].slot != 0; ++used) {
    if (used + 2 == std::size(slots)) {
      PyErr_SetString(PyExc_ImportError, "seesaw_mla: nanobind's module has more slots than known");
      return nullptr;
    }
    slots[used + 1] = definition->m_slots[used];
  }
  definition->m_slots = slots;
  return made;
}
