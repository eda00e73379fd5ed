// Which framework an array is of, and what only that framework can say or do: its current stream,
// and arrays of its own for results. seesaw_mla/_frameworks.py registers what is in Python of it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "exchange.h"
#include "seesaw/seesaw.h"

namespace seesaw::python {

namespace nb = nanobind;

/// A framework that _frameworks.py knows: what these functions are given is said there. Lives as
/// long as the process.
struct Framework {
  std::string package;        // first part of the module that defines its array type
  bool is_immutable;          // its arrays are: they can be no outputs
  nb::object current_stream;  // (array, ordinal) -> the cudaStream_t as an int
  nb::object empty;           // (array, shape, strides, dtype name, ordinal, stream) -> memory
  nb::object result;          // (memory) -> the result; None: the memory is it
  nb::object enqueued;  // (arrays of a call, ordinal, stream): its work is; None: need not know
};

/// What is known of an array by its type alone.
struct ArrayType {
  PyTypeObject* type = nullptr;
  const Framework* framework = nullptr;   // null: none that is known
  const ExchangeApi* exchange = nullptr;  // null: it has none that borrows
  bool is_tensor = false;                 // torch's: with bits for gradients and for negation
  bool is_derived = false;                // from a framework's, with methods of a program's own
};

/// Cached for each type. Throws nothing.
ArrayType array_type_of(nb::handle array);

/// The first line of what an exception says; its type where it says nothing.
std::string message_of(const nb::python_error& error);

/// Where an array lies, in DLPack's words.
struct Place {
  int device_type = nb::device::cpu::value;
  int ordinal = 0;
  bool is_host() const {
    return device_type == nb::device::cpu::value || device_type == nb::device::cuda_host::value;
  }
  bool is_cuda() const {
    return device_type == nb::device::cuda::value || device_type == nb::device::cuda_managed::value;
  }
};

/// Without an export; the CPU for objects that do not say. Errors: TypeError, where they fail to.
Place place_of(const char* name, const ArrayType& type, nb::handle array);

/// Where arrays must lie and in which stream's order they are used.
struct Target {
  Target() = default;               // the CPU
  Target(const Executor& executor)  // NOLINT(google-explicit-constructor)
      : kind(executor.kind()), ordinal(executor.cuda_ordinal()), stream(executor.cuda_stream()) {}
  bool is_host() const { return kind == DeviceKind::kCpu; }
  /// As DLPack numbers streams: 1 is the default one. 0 on the CPU.
  nb::int_ dlpack_stream() const;

  DeviceKind kind = DeviceKind::kCpu;
  int ordinal = -1;
  void* stream = nullptr;
};

/// An executor that a program made. Its threads are in no process forked later: there it is
/// refused, and never freed.
class OwnedExecutor {
 public:
  explicit OwnedExecutor(Executor executor);
  OwnedExecutor(OwnedExecutor&& other) noexcept = default;
  ~OwnedExecutor();
  const Executor& facts() const { return *executor_; }
  /// To run on. Errors: Error (kInvalidArgument), in another process.
  Executor& usable();

 private:
  std::unique_ptr<Executor> executor_;
  int process_;  // number_of_forks() where it was made
};

/// The executor of a call: the given one; else where `array` lies: the CPU executor that all such
/// calls share, or the CUDA device with the current stream of the array's framework.
class CallExecutor {
 public:
  CallExecutor(OwnedExecutor* given, const char* name, nb::handle array);
  Executor& operator*() { return *executor_; }
  Executor* operator->() { return executor_; }

 private:
  std::optional<Executor> own_;
  Executor* executor_;
};

/// Every core; made at the first call, and again in a forked process, which has none of the
/// threads.
Executor& shared_cpu_executor();

/// The framework of `query` where calls on `target` must tell it what they enqueued, else null.
const Framework* framework_to_tell(nb::handle query, const Target& target);

/// Tells it of the arrays of a call, which must last until the device has done its work.
template <typename... Arrays>
void tell_enqueued(nb::handle query, const Target& target, const Arrays&... arrays) {
  const Framework* const framework = framework_to_tell(query, target);
  if (framework == nullptr) return;
  framework->enqueued(nb::make_tuple(query, arrays...), target.ordinal, target.dlpack_stream());
}

/// An output: the caller's array, or one made as `like`'s framework makes arrays, where the
/// executor runs.
class ResultArray {
 public:
  /// Errors: TypeError (nothing given, and on a device no framework to ask).
  ResultArray(const char* name, nb::object given, nb::handle like,
              std::initializer_list<std::int64_t> shape, DType dtype, const Target& target);
  /// What is written.
  nb::handle memory() const { return memory_; }
  /// What is returned, once the call that writes it is enqueued.
  nb::object take();

 private:
  nb::object memory_;
  const Framework* framework_ = nullptr;  // whose result() is asked
};

}  // namespace seesaw::python
