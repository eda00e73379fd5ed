// The planner on the device: the cuts of a GroupPlan for lengths that only the device knows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardware/cuda/decode_launch.h"
#include "seesaw/types/group_plan.h"
#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// Writes cuts, first_ranges and a copy of the lengths (negative ones as 0) into the workspace, at
/// the plan's offsets: the same as scheduling::cut_groups on the host. kv_lengths [batch] and
/// workspace are device memory, the stride is in elements. One kernel, for the current device,
/// launched as a programmatic dependent; enqueues only, may be captured into a graph and replayed
/// with other lengths.
/// Errors: kDeviceError. An empty batch launches nothing.
Status launch_planner(const GroupPlan& plan, const std::int32_t* kv_lengths, std::int64_t stride,
                      std::byte* workspace, StreamHandle stream);

}  // namespace seesaw::cuda
