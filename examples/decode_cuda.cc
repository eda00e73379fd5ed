// Decodes one token of each of two requests on a CUDA device, with lengths that only the device
// knows. Runs in a build with CUDA on a machine with a device; elsewhere it says what is missing.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "seesaw/seesaw.h"

namespace {

using namespace seesaw;

void require(const Status& status) {
  if (!status.is_ok()) throw Error(status);
}

/// A copy of `values` on the executor's device.
template <typename T>
DeviceMemory to_device(const std::vector<T>& values, const Executor& executor) {
  DeviceMemory memory = DeviceMemory::allocate(values.size() * sizeof(T), executor).value();
  require(copy_to_device(std::as_bytes(std::span(values)), memory.bytes(), executor));
  return memory;
}

void decode_two_requests(const DeviceSpec& device) {
  AttentionProblem problem;
  problem.batch = 2;
  const std::int64_t num_pages = 3;  // request 0 has 100 tokens in pages 2 and 0, request 1 has 7
  Executor executor = Executor::cuda(device.cuda_ordinal);
  // bfloat16 zeros but for the bit patterns of 1.0 in every key: each output is then 1.
  const DeviceMemory q = to_device(std::vector<std::uint16_t>(2 * 128 * 576, 0), executor);
  const DeviceMemory cache =
      to_device(std::vector<std::uint16_t>(num_pages * 64 * 576, 0x3f80), executor);
  const DeviceMemory block_table = to_device(std::vector<std::int32_t>{2, 0, 1, -1}, executor);
  const DeviceMemory kv_lengths = to_device(std::vector<std::int32_t>{100, 7}, executor);
  const DeviceMemory out = DeviceMemory::allocate(2 * 128 * 512 * 2, executor).value();

  const WorkPlan plan = plan_for_device_lengths(problem, device).value();
  const DeviceMemory workspace = DeviceMemory::allocate(plan.workspace_bytes, executor).value();
  DecodeArgs args;
  args.q = {q.bytes().data(), DType::kBFloat16, {2, 1, 128, 576}};
  args.cache.kv_cache = {cache.bytes().data(), DType::kBFloat16, {num_pages, 64, 1, 576}};
  args.cache.block_table = {block_table.bytes().data(), DType::kInt32, {2, 2}};
  args.out = {out.bytes().data(), DType::kBFloat16, {2, 1, 128, 512}};
  args.workspace = workspace.bytes();
  // Once a step; then decode once a layer. Both may be captured into a CUDA graph.
  require(
      prepare(plan, {kv_lengths.bytes().data(), DType::kInt32, {2}}, workspace.bytes(), executor));
  require(decode(plan, args, executor));

  std::vector<std::uint16_t> result(2 * 128 * 512);
  require(copy_to_host(out.bytes(), std::as_writable_bytes(std::span(result)), executor));
  std::printf("%s on %s: out[0] is %s\n", plan.kernel_name.c_str(), device.name.c_str(),
              result[0] == 0x3f80 ? "1, as it must be" : "not 1");
}

}  // namespace

int main() {
  const std::vector<seesaw::DeviceSpec> devices = seesaw::probe_cuda();
  if (devices.empty()) {
    std::puts("no CUDA device, or a build without CUDA: nothing to decode on");
    return 0;
  }
  try {
    decode_two_requests(devices[0]);
  } catch (const seesaw::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
