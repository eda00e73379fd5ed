// The instruction set to plan for.
#pragma once

#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"

namespace seesaw {

/// The best set for which `is_supported` holds, or the one `wanted` names (the value of
/// SEESAW_CPU_ISA; nullptr and "" choose the best).
/// Errors: kInvalidArgument (no such set, or not supported).
Result<CpuIsa> choose_cpu_isa(const char* wanted, bool (*is_supported)(CpuIsa isa) noexcept);

}  // namespace seesaw
