// The CUDA functions of a build without CUDA: each refuses. CurrentDevice does so before any other
// is reached.
#include "hardware/cuda/current_device.h"
#include "hardware/cuda/decode_launch.h"
#include "hardware/cuda/memory.h"
#include "hardware/cuda/store_plan.h"
#include "hardware/cuda/verify_data.h"

namespace seesaw::cuda {
namespace {

Status refusal() {
  return {StatusCode::kUnsupported,
          "executor: is a CUDA stream, but this build has no CUDA kernels: build Seesaw with the "
          "CUDA toolkit (SEESAW_CUDA=ON)"};
}

}  // namespace

CurrentDevice::CurrentDevice(int /*ordinal*/) : status_(refusal()) {}
CurrentDevice::~CurrentDevice() = default;

Status store_plan(std::span<const PlanPart> /*parts*/, std::byte* /*workspace*/,
                  StreamHandle /*stream*/) {
  return refusal();
}
Status verify_data(const DecodeCall& /*call*/, std::int64_t /*max_pages*/, std::byte* /*scratch*/,
                   StreamHandle /*stream*/) {
  return refusal();
}
Status launch_decode_sm90(const DecodeCall& /*call*/, StreamHandle /*stream*/) { return refusal(); }
Status launch_decode_portable(const DecodeCall& /*call*/, StreamHandle /*stream*/) {
  return refusal();
}
Status launch_combine(const DecodeCall& /*call*/, StreamHandle /*stream*/) { return refusal(); }

Status allocate_memory(std::size_t /*num_bytes*/, void** /*data*/) { return refusal(); }
void free_memory(void* /*data*/) noexcept {}
Status copy_memory(const void* /*from*/, void* /*to*/, std::size_t /*num_bytes*/,
                   StreamHandle /*stream*/) {
  return refusal();
}
Status wait_for(StreamHandle /*stream*/) { return refusal(); }
Status create_event(bool /*is_timed*/, void** /*event*/) { return refusal(); }
void destroy_event(void* /*event*/) noexcept {}
Status record_event(void* /*event*/, StreamHandle /*stream*/) { return refusal(); }
Status wait_for_event(void* /*event*/, StreamHandle /*stream*/) { return refusal(); }
Status elapsed_time(void* /*begin*/, void* /*end*/, float* /*milliseconds*/) { return refusal(); }

}  // namespace seesaw::cuda
