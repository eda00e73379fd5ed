// What the device itself can do, measured in the same run: so that a slow or throttled card shows.
#pragma once

#include <optional>
#include <string>

#include "gpu/device.h"
#include "harness/statistics.h"
#include "seesaw/types/device_spec.h"

namespace seesaw::bench {

struct DeviceLimits {
  Summary read_gbps;              // plain loads of more than 2 GiB
  Summary matrix_product_tflops;  // bfloat16, 8192^3, random data; empty without cuBLAS
  std::string matrix_product_note;
};

/// cuBLAS, loaded at run time: the benchmark is built without it and does without it.
class Cublas {
 public:
  /// `path`: the library's file; empty: libcublas.so.13, then .12, as the loader finds them.
  explicit Cublas(const std::string& path);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  bool is_loaded() const { return handle_ != nullptr; }
  const std::string& note() const { return note_; }  // which library, or why none
  /// C = A B^T of size^3 in bfloat16 with float32 sums.
  void multiply(const Stream& stream, int size, const void* a, const void* b, void* c) const;

 private:
  void* library_ = nullptr;
  void* handle_ = nullptr;
  void* gemm_ = nullptr;
  void* set_stream_ = nullptr;
  void* destroy_ = nullptr;
  std::string note_;
};

DeviceLimits measure_limits(const Stream& stream, const DeviceSpec& device, const Cublas& cublas,
                            bool is_quick);

}  // namespace seesaw::bench
