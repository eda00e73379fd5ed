// How every failure is told: a code, and a message that names the argument, what it was and what
// was expected. The library never exits, prints or aborts; C++ callers may turn a Status into an
// exception, the C ABI returns its code.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "seesaw/types/export.h"

namespace seesaw {

enum class StatusCode : int {
  kOk = 0,
  kInvalidArgument = 1,    // the caller's values contradict each other or the contract
  kUnsupported = 2,        // well formed, but nothing here serves it
  kWorkspaceTooSmall = 3,  // the caller's buffer is smaller than the plan asks for
  kOutOfPages = 4,         // the page pool is exhausted; nothing was changed
  kCorruptData = 5,        // checked data (block table, index, length, file) is out of range
  kDeviceError = 6,        // the device refused or is not present
  kIoError = 7,            // a file could not be read or written
  kInternal = 8,           // a broken invariant of the library: a bug to report
  kOutOfMemory = 9,        // the host had no memory left; C API only (C++ throws std::bad_alloc)
};

/// The code's name in lower case with underscores, e.g. "invalid_argument".
SEESAW_API const char* to_string(StatusCode code) noexcept;

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok() { return {}; }
  bool is_ok() const noexcept { return code_ == StatusCode::kOk; }
  explicit operator bool() const noexcept { return is_ok(); }
  StatusCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

/// A failed Status as an exception; what() is its message.
class SEESAW_API Error : public std::runtime_error {
 public:
  explicit Error(const Status& status) : std::runtime_error(status.message()), status_(status) {}
  const Status& status() const noexcept { return status_; }

 private:
  Status status_;
};

/// Throws Error unless the status is ok.
inline void throw_if_error(const Status& status) {
  if (!status.is_ok()) throw Error(status);
}

/// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  /// An ok status without a value is a bug of who made it, and told as one.
  Result(Status status)  // NOLINT(google-explicit-constructor)
      : content_(status.is_ok() ? Status(StatusCode::kInternal, "ok, but without a value")
                                : std::move(status)) {}

  bool is_ok() const noexcept { return std::holds_alternative<T>(content_); }
  explicit operator bool() const noexcept { return is_ok(); }
  Status status() const { return is_ok() ? Status::ok() : std::get<Status>(content_); }

  /// The value; throws Error where there is none.
  T& value() & {
    throw_if_error(status());
    return std::get<T>(content_);
  }
  const T& value() const& {
    throw_if_error(status());
    return std::get<T>(content_);
  }
  T&& value() && {
    throw_if_error(status());
    return std::get<T>(std::move(content_));
  }

 private:
  std::variant<T, Status> content_;
};

}  // namespace seesaw
