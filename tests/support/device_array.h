// A StridedArray on a CUDA device.
#pragma once

#include "seesaw/types/tensor_view.h"
#include "support/cuda_objects.h"
#include "support/strided_array.h"

namespace seesaw::testing {

/// A copy of a host array: same strides, gaps, lead and poison.
class DeviceArray {
 public:
  /// `host` must outlive this. Enqueues its upload.
  DeviceArray(StridedArray& host, cudaStream_t stream)
      : host_(&host), buffer_(host.memory().size()) {
    upload(stream);
  }

  TensorView view() const { return host_->view_of_copy(buffer_.data()); }
  void upload(cudaStream_t stream) const { buffer_.upload(host_->memory(), stream); }
  void download(cudaStream_t stream) const { buffer_.download(host_->memory(), stream); }

 private:
  StridedArray* host_;
  DeviceBuffer buffer_;
};

}  // namespace seesaw::testing
