// What the files of the extension module share.
#pragma once

#include "array.h"
#include "frameworks.h"
#include "interpreter.h"
#include "overlap.h"
#include "plan_object.h"

namespace seesaw::python {

void bind_errors(nb::module_& module);
void bind_types(nb::module_& module);
void bind_frameworks(nb::module_& module);
void bind_planning(nb::module_& module);
void bind_attention(nb::module_& module);
void bind_cache(nb::module_& module);

}  // namespace seesaw::python
