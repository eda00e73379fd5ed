#include "hardware/cuda/memory.h"

#include <fmt/format.h>

#include "hardware/cuda/error.h"

namespace seesaw::cuda {

Status allocate_memory(std::size_t num_bytes, void** data) {
  const cudaError_t error = cudaMalloc(data, num_bytes);
  if (error == cudaSuccess) return Status::ok();
  return check_call(error, fmt::format("cudaMalloc of {} bytes", num_bytes).c_str());
}

void free_memory(void* data) noexcept {
  if (cudaFree(data) != cudaSuccess) cudaGetLastError();
}

Status copy_memory(const void* from, void* to, std::size_t num_bytes, StreamHandle stream) {
  const cudaError_t error =
      cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream));
  Status status = check_call(error, "cudaMemcpyAsync");
  return status.is_ok() ? wait_for(stream) : status;
}

Status wait_for(StreamHandle stream) {
  return check_call(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)),
                    "cudaStreamSynchronize");
}

Status create_event(bool is_timed, void** event) {
  const unsigned flags = is_timed ? cudaEventDefault : cudaEventDisableTiming;
  return check_call(cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t*>(event), flags),
                    "cudaEventCreateWithFlags");
}

void destroy_event(void* event) noexcept {
  if (cudaEventDestroy(static_cast<cudaEvent_t>(event)) != cudaSuccess) cudaGetLastError();
}

Status record_event(void* event, StreamHandle stream) {
  return check_call(
      cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)),
      "cudaEventRecord");
}

Status wait_for_event(void* event, StreamHandle stream) {
  return check_call(
      cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0),
      "cudaStreamWaitEvent");
}

Status elapsed_time(void* begin, void* end, float* milliseconds) {
  Status status =
      check_call(cudaEventSynchronize(static_cast<cudaEvent_t>(end)), "cudaEventSynchronize");
  if (!status.is_ok()) return status;
  return check_call(cudaEventElapsedTime(milliseconds, static_cast<cudaEvent_t>(begin),
                                         static_cast<cudaEvent_t>(end)),
                    "cudaEventElapsedTime");
}

}  // namespace seesaw::cuda
