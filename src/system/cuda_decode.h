// From validated arguments to kernels of a CUDA device.
#pragma once

#include <cstddef>
#include <span>

#include "seesaw/attention.h"
#include "seesaw/executor.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"
#include "system/registry.h"

namespace seesaw {

/// prepare() of a plan and arguments that have been validated.
Status prepare_on_cuda(const WorkPlan& plan, const ConstTensorView& kv_lengths,
                       std::span<std::byte> workspace, const Executor& executor);

/// decode() of a plan and arguments that have been validated; `kernel` is the plan's.
/// Errors: kCorruptData (the data check), kUnsupported (no kernel takes these arrays),
/// kDeviceError.
Status decode_on_cuda(const WorkPlan& plan, const CudaKernel& kernel, const DecodeArgs& args,
                      const Executor& executor, DataCheck check);

}  // namespace seesaw
