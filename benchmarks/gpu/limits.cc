#include "gpu/limits.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <library_types.h>

#include <stdexcept>
#include <vector>

#include "gpu/device_kernels.h"

namespace seesaw::bench {
namespace {

// The few names of cublas_v2.h that are needed, as they have been since CUDA 11.
using Create = int (*)(void**);
using Destroy = int (*)(void*);
using SetStream = int (*)(void*, cudaStream_t);
using GemmEx = int (*)(void*, int, int, int, int, int, const void*, const void*, cudaDataType, int,
                       const void*, cudaDataType, int, const void*, void*, cudaDataType, int, int,
                       int);
constexpr int kNoTranspose = 0;
constexpr int kTranspose = 1;
constexpr int kComputeFloat32 = 68;
constexpr int kDefaultAlgorithm = -1;

Summary measure_read(const Stream& stream, const DeviceSpec& device, int num_calls) {
  constexpr std::size_t kBytes = std::size_t{3} << 30;
  const DeviceBuffer data(kBytes);
  const DeviceBuffer sink(sizeof(std::uint32_t));
  fill_random(stream.get(), data.data(), kBytes, DType::kBFloat16, 7);
  const EventTimer timer;
  const auto read = [&](int) {
    read_all(stream.get(), data.data(), kBytes, reinterpret_cast<std::uint32_t*>(sink.data()),
             device.num_workers);
  };
  timer.time_calls(stream, 2, read);
  std::vector<double> rates;
  for (double seconds : timer.time_calls(stream, num_calls, read))
    rates.push_back(static_cast<double>(kBytes) / seconds * 1e-9);
  return summarize(rates);
}

Summary measure_matrix_product(const Stream& stream, const Cublas& cublas, int num_calls) {
  constexpr int kSize = 8192;
  constexpr std::size_t kBytes = std::size_t{2} * kSize * kSize;
  const DeviceBuffer a(kBytes);
  const DeviceBuffer b(kBytes);
  const DeviceBuffer c(kBytes);
  fill_random(stream.get(), a.data(), kBytes, DType::kBFloat16, 8);
  fill_random(stream.get(), b.data(), kBytes, DType::kBFloat16, 9);
  const auto multiply = [&](int) { cublas.multiply(stream, kSize, a.data(), b.data(), c.data()); };
  const EventTimer timer;
  timer.time_calls(stream, 3, multiply);
  std::vector<double> rates;
  for (double seconds : timer.time_calls(stream, num_calls, multiply))
    rates.push_back(2.0 * kSize * kSize * kSize / seconds * 1e-12);
  return summarize(rates);
}

}  // namespace

Cublas::Cublas(const std::string& path) {
  const std::vector<std::string> names =
      path.empty() ? std::vector<std::string>{"libcublas.so.13", "libcublas.so.12",
                                              "/usr/local/cuda/lib64/libcublas.so"}
                   : std::vector<std::string>{path};
  for (const std::string& name : names) {
    if (library_ == nullptr) library_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ != nullptr && note_.empty()) note_ = name;
  }
  if (library_ == nullptr) {
    note_ = "no cuBLAS found (libcublas.so.13 or .12; --cublas names a file): not measured";
    return;
  }
  const auto create = reinterpret_cast<Create>(dlsym(library_, "cublasCreate_v2"));
  gemm_ = dlsym(library_, "cublasGemmEx");
  set_stream_ = dlsym(library_, "cublasSetStream_v2");
  destroy_ = dlsym(library_, "cublasDestroy_v2");
  if (create == nullptr || gemm_ == nullptr || set_stream_ == nullptr || destroy_ == nullptr ||
      create(&handle_) != 0) {
    handle_ = nullptr;
    note_ += " does not start: not measured";
  }
}

Cublas::~Cublas() {
  if (handle_ != nullptr) reinterpret_cast<Destroy>(destroy_)(handle_);
  if (library_ != nullptr) dlclose(library_);
}

void Cublas::multiply(const Stream& stream, int size, const void* a, const void* b, void* c) const {
  const float one = 1;
  const float zero = 0;
  int status = reinterpret_cast<SetStream>(set_stream_)(handle_, stream.get());
  if (status == 0)
    status = reinterpret_cast<GemmEx>(gemm_)(
        handle_, kTranspose, kNoTranspose, size, size, size, &one, a, CUDA_R_16BF, size, b,
        CUDA_R_16BF, size, &zero, c, CUDA_R_16BF, size, kComputeFloat32, kDefaultAlgorithm);
  if (status != 0) throw std::runtime_error(fmt::format("cuBLAS: status {}", status));
}

DeviceLimits measure_limits(const Stream& stream, const DeviceSpec& device, const Cublas& cublas,
                            bool is_quick) {
  DeviceLimits limits;
  limits.read_gbps = measure_read(stream, device, is_quick ? 7 : 21);
  limits.matrix_product_note = cublas.note();
  if (cublas.is_loaded())
    limits.matrix_product_tflops = measure_matrix_product(stream, cublas, is_quick ? 10 : 30);
  return limits;
}

}  // namespace seesaw::bench
