// The CUDA device that a call of this library runs on.
#pragma once

#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// Makes a device the thread's current one while it lives, then the one before again.
class CurrentDevice {
 public:
  explicit CurrentDevice(int ordinal);
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice();

  /// kDeviceError where there is no such device, kUnsupported in a build without CUDA.
  const Status& status() const noexcept { return status_; }

 private:
  int previous_ = -1;  // -1: the device was current already
  Status status_;
};

}  // namespace seesaw::cuda
