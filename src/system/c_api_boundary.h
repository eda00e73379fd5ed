// What every function of the C ABI does at its edge: exceptions and Status become a number and a
// message, structs of any version become the present one, numbers become enums.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "seesaw/c_api.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::c_api {

/// Keeps the message for seesaw_last_error_message (unless code is ok) and returns the number.
seesaw_status report(StatusCode code, const char* message) noexcept;

/// Runs fn, a callable that returns Status, and lets nothing escape.
template <typename Fn>
seesaw_status guarded(Fn&& fn) noexcept {
  try {
    const Status status = std::forward<Fn>(fn)();
    return report(status.code(), status.message().c_str());
  } catch (const Error& error) {
    return report(error.status().code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(StatusCode::kOutOfMemory, "memory: the host could not give any more");
  } catch (const std::exception& exception) {
    return report(StatusCode::kInternal, exception.what());
  } catch (...) {
    return report(StatusCode::kInternal, "an exception of unknown type: a bug to report");
  }
}

template <typename... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

inline Status check_pointer(const void* pointer, const char* name) {
  return pointer != nullptr ? Status::ok() : invalid("{}: is null, must not be", name);
}

template <std::size_t kCount, typename... Names>
Status check_pointers(const void* const (&pointers)[kCount], Names... names) {
  static_assert(sizeof...(Names) == kCount, "one name for each pointer");
  const char* const all_names[] = {names...};
  for (std::size_t i = 0; i < kCount; ++i) {
    if (Status status = check_pointer(pointers[i], all_names[i]); !status.is_ok()) return status;
  }
  return Status::ok();
}

/// Bytes of the struct's first version, the least that a caller may have. A struct that grows gets
/// a specialization with the size it had.
template <typename T>
inline constexpr std::size_t kFirstVersionBytes = sizeof(T);

/// *pointer is not null and its struct_size is one that some version of the struct has had.
template <typename T>
Status check_struct(const T* pointer, const char* name) {
  if (Status status = check_pointer(pointer, name); !status.is_ok()) return status;
  if (pointer->struct_size < kFirstVersionBytes<T>) {
    return invalid("{}.struct_size: is {}, must be {} or more", name, pointer->struct_size,
                   kFirstVersionBytes<T>);
  }
  return Status::ok();
}

/// Reads a caller's struct of any version into `to`, whose fields hold their defaults.
template <typename T>
Status read_struct(const T* from, const char* name, T& to) {
  if (Status status = check_struct(from, name); !status.is_ok()) return status;
  const std::size_t caller_bytes = from->struct_size;
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (std::size_t i = sizeof(T); i < caller_bytes; ++i) {
    if (bytes[i] != 0) {
      return {StatusCode::kUnsupported,
              fmt::format("{}.struct_size: is {}, must be {} unless the rest is zero: this version "
                          "does not know the field at byte {}",
                          name, caller_bytes, sizeof(T), i)};
    }
  }
  std::memcpy(&to, from, caller_bytes < sizeof(T) ? caller_bytes : sizeof(T));
  return Status::ok();
}

/// Writes `from` into a caller's struct of any version that passed check_struct.
template <typename T>
void write_struct(const T& from, T* to) {
  const std::size_t caller_bytes = to->struct_size;
  auto* bytes = reinterpret_cast<unsigned char*>(to);
  std::memcpy(bytes, &from, caller_bytes < sizeof(T) ? caller_bytes : sizeof(T));
  if (caller_bytes > sizeof(T)) std::memset(bytes + sizeof(T), 0, caller_bytes - sizeof(T));
  to->struct_size = caller_bytes;
}

template <typename Enum>
Status to_enum(std::int32_t number, Enum last, const char* name, Enum& value) {
  if (number < 0 || number > static_cast<std::int32_t>(last)) {
    return invalid("{}: is {}, must be in [0, {}]", name, number, static_cast<std::int32_t>(last));
  }
  value = static_cast<Enum>(number);
  return Status::ok();
}

Status to_bool(std::int32_t number, const char* name, bool& value);
Status check_reserved(std::int32_t number, const char* name);
Status to_problem(const seesaw_problem* from, AttentionProblem& to);
Status to_device(const seesaw_device* from, DeviceSpec& to);
Status to_view(const seesaw_tensor& from, const char* name, TensorView& to);
Status to_view(const seesaw_tensor& from, const char* name, ConstTensorView& to);

/// struct_size is sizeof(seesaw_device) of this version.
seesaw_device from_device(const DeviceSpec& from);
seesaw_problem from_problem(const AttentionProblem& from);

/// Copies text into a fixed field, cut where it does not fit, always with a NUL.
void copy_text(const char* from, char* to, std::size_t capacity) noexcept;

}  // namespace seesaw::c_api

struct seesaw_executor;

namespace seesaw {
class Executor;
namespace c_api {
/// The executor behind a handle; nullptr for nullptr.
Executor* executor_of(seesaw_executor* handle) noexcept;
}  // namespace c_api
}  // namespace seesaw
