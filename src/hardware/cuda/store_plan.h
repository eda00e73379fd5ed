// Brings the host's part of a plan into the workspace.
#pragma once

#include <cstddef>
#include <span>

#include "hardware/cuda/decode_launch.h"
#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// Host memory and where it goes, in bytes from the workspace's begin; all multiples of 4.
struct PlanPart {
  const void* data = nullptr;  // nullptr: zeros
  std::size_t num_bytes = 0;
  std::size_t offset = 0;
};

/// Copies the parts, in rising order of offsets, to device memory; what lies between two of them
/// may be overwritten. The bytes travel as arguments of a kernel, about 4 KB a launch: so the host
/// memory is free on return, nothing waits, and a graph that captures the call holds them itself.
Status store_plan(std::span<const PlanPart> parts, std::byte* workspace, StreamHandle stream);

}  // namespace seesaw::cuda
