// DLPack's table of C functions that a type may carry as __dlpack_c_exchange_api__ (DLPack 1.2 and
// newer): arrays, streams and nothing of Python's calling conventions in between.
#pragma once

#include <nanobind/ndarray.h>

#include <cstdint>

namespace seesaw::python {

struct ExchangeHeader {
  std::uint32_t major;  // another one means another table
  std::uint32_t minor;
  ExchangeHeader* older;  // null, or the table of an older major version
};

/// Laid out as DLPack's DLPackExchangeAPI. Functions return 0, or -1 with a Python exception set;
/// none orders streams: that is the caller's.
struct ExchangeApi {
  static constexpr std::uint32_t kMajor = 1;
  static constexpr const char* kCapsuleName = "dlpack_exchange_api";

  ExchangeHeader header;
  void* managed_tensor_allocator;
  void* managed_tensor_from_py_object_no_sync;
  void* managed_tensor_to_py_object_no_sync;
  /// Borrowed: data, shape and strides live as long as the object keeps them. May be null.
  int (*dltensor_from_py_object_no_sync)(void* object, nanobind::dlpack::dltensor* tensor);
  int (*current_work_stream)(int device_type, std::int32_t ordinal, void** stream);
};

}  // namespace seesaw::python
