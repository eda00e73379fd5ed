// Which kernels this build has, and what each of them serves.
#pragma once

#include <string>
#include <vector>

#include "seesaw/types/device_spec.h"
#include "seesaw/types/dtype.h"
#include "seesaw/types/export.h"
#include "seesaw/types/kv_format.h"

namespace seesaw {

/// A query type together with the cache format that a kernel multiplies it with.
struct KernelFormats {
  DType q_dtype = DType::kFloat32;
  KvFormat kv_format = KvFormat::kFloat32;
};

/// One row of the kernel table. The selection takes the first row that serves the problem and
/// needs no more than the device has; `explain` says so and lists the rows it passed over.
struct KernelInfo {
  std::string name;  // as in WorkPlan::kernel_name, e.g. "cpu_avx512_bf16"
  DeviceKind device = DeviceKind::kCpu;
  CpuIsa cpu_isa = CpuIsa::kGeneric;   // what the kernel needs of a CPU
  int sm_arch = 0;                     // CUDA: the architecture that it is made for
  bool runs_on_newer = false;          // CUDA: and on every newer one
  bool is_supported = false;           // this machine and this build can run it
  std::vector<KernelFormats> formats;  // asked of the kernel's own predicate, not kept by hand
};

/// All kernels in order of preference, those included that this machine cannot run.
SEESAW_API std::vector<KernelInfo> list_kernels();

}  // namespace seesaw
