// Memory and events of the current CUDA device, behind seesaw/device_memory.h.
#pragma once

#include <cstddef>

#include "hardware/cuda/decode_launch.h"
#include "seesaw/types/status.h"

namespace seesaw::cuda {

Status allocate_memory(std::size_t num_bytes, void** data);
void free_memory(void* data) noexcept;

/// Between host and device, whichever pointer is which; waits for the stream.
Status copy_memory(const void* from, void* to, std::size_t num_bytes, StreamHandle stream);
Status wait_for(StreamHandle stream);

/// One that nobody times costs less to wait for.
Status create_event(bool is_timed, void** event);
void destroy_event(void* event) noexcept;
Status record_event(void* event, StreamHandle stream);
/// What is enqueued on the stream from now on waits for it.
Status wait_for_event(void* event, StreamHandle stream);
/// Waits for `end`.
Status elapsed_time(void* begin, void* end, float* milliseconds);

}  // namespace seesaw::cuda
