#include "frameworks.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

#include "binding.h"
#include "seesaw/device_memory.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;

// These live as long as the process: Python may still call when statics are being destroyed. The
// interpreter's lock guards them.
std::vector<std::unique_ptr<Framework>>& frameworks() {
  static auto* const list = new std::vector<std::unique_ptr<Framework>>;
  return *list;
}
std::vector<ArrayType>& known_types() {
  static auto* const list = new std::vector<ArrayType>;
  return *list;
}

/// First part of the module that defines a type; empty where it does not say.
std::string package_of(nb::handle type) {
  std::string module;
  if (!nb::try_cast(nb::getattr(type, "__module__", nb::none()), module)) return "";
  return module.substr(0, module.find('.'));
}

const Framework* find_framework(std::string_view package) {
  for (const auto& framework : frameworks()) {
    if (framework->package == package) return framework.get();
  }
  return nullptr;
}

/// Of the first class in the type's method resolution order that a framework defines: a program's
/// own subclasses are its framework's.
const Framework* framework_of(nb::handle type) {
  const nb::object order = nb::getattr(type, "__mro__", nb::none());
  if (!nb::isinstance<nb::tuple>(order)) return nullptr;
  for (nb::handle base : order) {
    if (const Framework* framework = find_framework(package_of(base))) return framework;
  }
  return nullptr;
}

const ExchangeApi* exchange_of(nb::handle type) {
  const nb::object capsule = nb::getattr(type, "__dlpack_c_exchange_api__", nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), ExchangeApi::kCapsuleName)) return nullptr;
  auto* header =
      static_cast<ExchangeHeader*>(PyCapsule_GetPointer(capsule.ptr(), ExchangeApi::kCapsuleName));
  while (header != nullptr && header->major != ExchangeApi::kMajor) header = header->older;
  const auto* const api = reinterpret_cast<const ExchangeApi*>(header);
  return api == nullptr || api->dltensor_from_py_object_no_sync == nullptr ? nullptr : api;
}

ArrayType look_up_type(PyTypeObject* type) {
  const nb::handle object(reinterpret_cast<PyObject*>(type));
  try {
    const Framework* const framework = framework_of(object);
    return {type, framework, exchange_of(object),
            framework != nullptr && framework->package == "torch",
            framework != nullptr && package_of(object) != framework->package};
  } catch (const std::exception&) {  // a type with attributes that raise is of no framework
    return {type};
  }
}

int number_of(nb::handle object) {
  const long number = PyLong_AsLong(nb::object(nb::int_(object)).ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  return static_cast<int>(number);
}

/// JAX's arrays have no memory any more when they were deleted or donated.
bool is_deleted(nb::handle array) {
  const nb::object ask = nb::getattr(array, "is_deleted", nb::none());
  if (PyCallable_Check(ask.ptr()) == 0) return false;
  bool answer = false;
  return nb::try_cast(ask(), answer) && answer;
}

void* current_stream(const ArrayType& type, nb::handle array, int ordinal) {
  if (type.exchange != nullptr) {
    void* stream = nullptr;
    if (type.exchange->current_work_stream(nb::device::cuda::value, ordinal, &stream) != 0) {
      throw nb::python_error();
    }
    return stream;
  }
  if (type.framework == nullptr) return nullptr;
  const nb::object stream = type.framework->current_stream(array, ordinal);
  return reinterpret_cast<void*>(nb::cast<std::uintptr_t>(stream));
}

nb::object tuple_of(std::span<const std::int64_t> numbers) {
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(numbers.size())));
  if (!tuple.is_valid()) throw nb::python_error();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    PyObject* const number = PyLong_FromLongLong(numbers[i]);
    if (number == nullptr) throw nb::python_error();
    PyTuple_SetItem(tuple.ptr(), static_cast<Py_ssize_t>(i), number);
  }
  return tuple;
}

/// Of a row-major array without gaps.
nb::object strides_of(std::span<const std::int64_t> shape) {
  std::array<std::int64_t, kMaxRank> strides{};
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0; step *= std::max<std::int64_t>(shape[i], 1)) {
    strides[i] = step;
  }
  return tuple_of({strides.data(), shape.size()});
}

nb::dlpack::dtype dlpack_dtype(DType dtype) {
  using Code = nb::dlpack::dtype_code;
  const auto of = [](Code code, std::uint8_t bits) {
    return nb::dlpack::dtype{static_cast<std::uint8_t>(code), bits, 1};
  };
  switch (dtype) {
    case DType::kFloat32:
      return of(Code::Float, 32);
    case DType::kBFloat16:
      return of(Code::Bfloat, 16);
    case DType::kFloat16:
      return of(Code::Float, 16);
    case DType::kFloat8E4M3:
      return of(Code::Float8_E4M3FN, 8);
    case DType::kInt32:
      return of(Code::Int, 32);
    case DType::kInt64:
      return of(Code::Int, 64);
    case DType::kUInt8:
      return of(Code::UInt, 8);
  }
  return {};
}

/// Memory of the host as an object that exports DLPack and nothing else.
nb::object host_array(const std::vector<std::size_t>& shape, DType dtype) {
  std::size_t num_bytes = dlpack_dtype(dtype).bits / 8;
  for (const std::size_t dim : shape) num_bytes *= dim;
  // Aligned as XLA asks of memory that it takes without a copy.
  void* const memory = std::aligned_alloc(64, std::max<std::size_t>(1, (num_bytes + 63) / 64) * 64);
  if (memory == nullptr) throw std::bad_alloc();
  const nb::capsule owner(memory, [](void* bytes) noexcept { std::free(bytes); });
  const nb::ndarray<nb::array_api> array(memory, shape.size(), shape.data(), owner, nullptr,
                                         dlpack_dtype(dtype), nb::device::cpu::value);
  return nb::cast(array);
}

/// Streams by DLPack's numbers, which CUDA's own are: 1 is the default stream there too.
void order_streams(std::uintptr_t later, std::uintptr_t earlier, int ordinal) {
  const auto executor = [&](std::uintptr_t stream) {
    return Executor::cuda(ordinal, reinterpret_cast<void*>(stream));
  };
  const WithoutInterpreter without_interpreter;
  throw_if_error(order_after(executor(later), executor(earlier)));
}

void register_framework(std::string package, nb::object stream, nb::object empty, nb::object result,
                        nb::object enqueued, bool is_immutable) {
  frameworks().push_back(std::make_unique<Framework>(
      Framework{std::move(package), is_immutable, stream, empty, result, enqueued}));
  known_types().clear();
}

}  // namespace

ArrayType array_type_of(nb::handle array) {
  PyTypeObject* const type = Py_TYPE(array.ptr());
  std::vector<ArrayType>& known = known_types();
  for (const ArrayType& entry : known) {
    if (entry.type == type) return entry;
  }
  const ArrayType found = look_up_type(type);
  // A kept type must stay, so that its address names no other. Few are expected: programs that make
  // types without end do not fill memory here.
  if (known.size() < 64) {
    Py_INCREF(reinterpret_cast<PyObject*>(type));
    known.push_back(found);
  }
  return found;
}

std::string message_of(const nb::python_error& error) {
  const nb::object text = nb::steal(PyObject_Str(error.value().ptr()));
  std::string message;
  if (!text.is_valid() || !nb::try_cast(text, message)) {
    PyErr_Clear();
    return "no words";
  }
  if (message.empty()) return nb::cast<std::string>(nb::str(nb::type_name(error.type())));
  return message.substr(0, message.find('\n'));
}

Place place_of(const char* name, const ArrayType& type, nb::handle array) {
  if (type.exchange != nullptr) {
    nb::dlpack::dltensor tensor;
    if (type.exchange->dltensor_from_py_object_no_sync(array.ptr(), &tensor) == 0) {
      return {tensor.device.device_type, tensor.device.device_id};
    }
    clear_failure();
  }
  const bool is_on_host = type.framework != nullptr && type.framework->current_stream.is_none();
  if (is_on_host || !nb::hasattr(array, "__dlpack_device__")) return {};
  try {
    const nb::object device = array.attr("__dlpack_device__")();
    return {number_of(device[0]), number_of(device[1])};
  } catch (const nb::python_error& error) {
    check_is_failure(error);
    const std::string type_name = nb::cast<std::string>(nb::str(nb::type_name(array.type())));
    if (type.framework != nullptr && type.framework->is_immutable && is_deleted(array)) {
      refuse(name, "a deleted " + type_name, "an array with memory");
    }
    throw_type_error(
        std::string(name) + ": is " + type_name + ", must be an array that says where it lies",
        &error);
  }
}

namespace {

/// That lie between this process and the one that loaded the module; asking costs no system call.
int number_of_forks() {
  static int forks = 0;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  static_cast<void>(registered);
  return forks;
}

}  // namespace

nb::int_ Target::dlpack_stream() const {
  if (is_host()) return nb::int_(0);
  const auto number = reinterpret_cast<std::uintptr_t>(stream);
  return nb::int_(number == 0 ? 1 : number);
}

OwnedExecutor::OwnedExecutor(Executor executor)
    : executor_(std::make_unique<Executor>(std::move(executor))), process_(number_of_forks()) {}

OwnedExecutor::~OwnedExecutor() {
  // Else it would wait for threads that are not here.
  if (process_ != number_of_forks()) static_cast<void>(executor_.release());
}

Executor& OwnedExecutor::usable() {
  if (executor_->kind() == DeviceKind::kCpu && process_ != number_of_forks()) {
    refuse("executor", "of the process that this one was forked from", "made after the fork");
  }
  return *executor_;
}

CallExecutor::CallExecutor(OwnedExecutor* given, const char* name, nb::handle array)
    : executor_(given == nullptr ? nullptr : &given->usable()) {
  if (executor_ != nullptr) return;
  const ArrayType type = array_type_of(array);
  const Place place = place_of(name, type, array);
  if (place.is_host()) {
    executor_ = &shared_cpu_executor();
  } else if (place.is_cuda()) {
    own_.emplace(Executor::cuda(place.ordinal, current_stream(type, array, place.ordinal)));
    executor_ = &*own_;
  } else {
    refuse(name, "on DLPack's device type " + std::to_string(place.device_type),
           "on the CPU or a CUDA device");
  }
}

Executor& shared_cpu_executor() {
  static Executor* executor = nullptr;
  static int owner = 0;
  if (executor == nullptr || owner != number_of_forks()) {
    executor = new Executor(Executor::cpu());  // never freed: its threads may outlive the module
    owner = number_of_forks();
  }
  return *executor;
}

namespace {

/// No gradient goes through a call: an output that autograd follows would lack its own.
void check_wants_no_gradient(const char* name, nb::handle array) {
  const ArrayType type = array_type_of(array);
  if (!type.is_tensor) return;
  if (type.is_derived) ++num_foreign_calls;
  static PyObject* const attribute = PyUnicode_InternFromString("requires_grad");
  const nb::object required = nb::steal(PyObject_GetAttr(array.ptr(), attribute));
  if (!required.is_valid()) return clear_failure();
  if (!required.is(Py_True)) return;
  if (nb::cast<bool>(nb::module_::import_("torch").attr("is_grad_enabled")())) {
    refuse(name, "a tensor that requires grad", "one that does not, or be given under no_grad");
  }
}

}  // namespace

ResultArray::ResultArray(const char* name, nb::object given, nb::handle like,
                         std::initializer_list<std::int64_t> shape, DType dtype,
                         const Target& target)
    : memory_(std::move(given)) {
  if (!memory_.is_none()) {
    check_wants_no_gradient(name, memory_);
    return;
  }
  const ArrayType type = array_type_of(like);
  framework_ = type.framework;
  if (framework_ == nullptr && target.is_host()) framework_ = find_framework("numpy");
  if (framework_ == nullptr) {
    refuse(name, "None", "given: arrays of such a type cannot be made on a device");
  }
  const std::span<const std::int64_t> dims(shape.begin(), shape.size());
  memory_ = framework_->empty(like, tuple_of(dims), strides_of(dims), to_string(dtype),
                              target.ordinal, target.dlpack_stream());
}

const Framework* framework_to_tell(nb::handle query, const Target& target) {
  if (target.is_host()) return nullptr;
  const Framework* const framework = array_type_of(query).framework;
  return framework == nullptr || framework->enqueued.is_none() ? nullptr : framework;
}

nb::object ResultArray::take() {
  if (framework_ == nullptr || framework_->result.is_none()) return std::move(memory_);
  return framework_->result(std::move(memory_));
}

void bind_frameworks(nb::module_& module) {
  module.def("_register_framework", &register_framework, "package"_a, "current_stream"_a.none(),
             "empty"_a, "result"_a.none(), "enqueued"_a.none(), "is_immutable"_a,
             "What seesaw_mla/_frameworks.py knows of a framework.");
  module.def(
      "_host_array",
      [](const std::vector<std::size_t>& shape, const std::string& dtype) {
        for (const DType known : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
          if (dtype == to_string(known)) return host_array(shape, known);
        }
        refuse("dtype", dtype, "float32, bfloat16 or float16");
      },
      "shape"_a, "dtype"_a, "Memory of the host that exports DLPack and nothing else.");
  module.def("_order_streams", &order_streams, "later"_a, "earlier"_a, "ordinal"_a,
             "Makes a stream of a device wait there for what another one has enqueued.");
}

}  // namespace seesaw::python
