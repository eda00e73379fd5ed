// The planner of a build without CUDA: nobody reaches it, for there is no device to be current.
#include "system/device_planner.h"

namespace seesaw::cuda {

Status launch_planner(const GroupPlan& /*plan*/, const std::int32_t* /*kv_lengths*/,
                      std::int64_t /*stride*/, std::byte* /*workspace*/, StreamHandle /*stream*/) {
  return {StatusCode::kUnsupported, "executor: is a CUDA stream, but this build has no planner"};
}

}  // namespace seesaw::cuda
