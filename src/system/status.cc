#include "seesaw/types/status.h"

namespace seesaw {

const char* to_string(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid_argument";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kWorkspaceTooSmall:
      return "workspace_too_small";
    case StatusCode::kOutOfPages:
      return "out_of_pages";
    case StatusCode::kCorruptData:
      return "corrupt_data";
    case StatusCode::kDeviceError:
      return "device_error";
    case StatusCode::kIoError:
      return "io_error";
    case StatusCode::kInternal:
      return "internal";
    case StatusCode::kOutOfMemory:
      return "out_of_memory";
  }
  return "unknown";
}

}  // namespace seesaw
