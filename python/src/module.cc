// The extension module seesaw_mla._core.
#include "binding.h"

NB_MODULE(_core, module) {
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
