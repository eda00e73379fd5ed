// The device probe.
#pragma once

#include <vector>

#include "seesaw/types/device_spec.h"
#include "seesaw/types/export.h"
#include "seesaw/types/status.h"

namespace seesaw {

/// This machine's CPU: name, cores available to the process, cache sizes, best instruction set.
/// The environment variable SEESAW_CPU_ISA (generic, avx2, avx512, avx512_bf16) lowers the
/// instruction set; a value the CPU cannot run, or an unknown one, is an error.
/// Errors: kInvalidArgument for the variable's value.
SEESAW_API Result<DeviceSpec> probe_cpu();

/// The CUDA devices the driver shows; empty without a driver, a device or a CUDA build.
SEESAW_API std::vector<DeviceSpec> probe_cuda();

/// Whether this build has the CUDA kernels at all, whatever devices there are.
SEESAW_API bool is_built_with_cuda() noexcept;

/// True where this machine and this build can run kernels of `isa`.
SEESAW_API bool cpu_supports(CpuIsa isa) noexcept;

}  // namespace seesaw
