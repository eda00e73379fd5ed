#include "array.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "frameworks.h"
#include "interpreter.h"

namespace seesaw::python {
namespace {

using Code = nb::dlpack::dtype_code;

std::string name_of_type(nb::handle object) {
  return nb::cast<std::string>(nb::str(nb::type_name(object.type())));
}

/// The first error of a producer's own code that is only about the argument.
using Failure = std::optional<nb::python_error>;

void keep_failure(const nb::python_error& error, Failure& failure) {
  check_is_failure(error);
  if (!failure) failure.emplace(error);
}

/// The array's own word for its element type, where it has one.
std::string dtype_name(nb::handle object) {
  if (!nb::hasattr(object, "dtype")) return "";
  return nb::cast<std::string>(nb::str(nb::object(object.attr("dtype"))));
}

std::string element_text(nb::dlpack::dtype type) {
  const char* kind = "DLPack type of bits ";
  switch (static_cast<Code>(type.code)) {
    case Code::Int:
      kind = "int";
      break;
    case Code::UInt:
      kind = "uint";
      break;
    case Code::Float:
      kind = "float";
      break;
    case Code::Bool:
      kind = "bool";
      break;
    case Code::Complex:
      kind = "complex";
      break;
    case Code::Bfloat:
      kind = "bfloat";
      break;
    case Code::Float8_E3M4:
      return "float8_e3m4";
    case Code::Float8_E4M3:
      return "float8_e4m3 (not e4m3fn)";
    case Code::Float8_E4M3B11FNUZ:
      return "float8_e4m3b11fnuz";
    case Code::Float8_E4M3FNUZ:
      return "float8_e4m3fnuz";
    case Code::Float8_E5M2:
      return "float8_e5m2";
    case Code::Float8_E5M2FNUZ:
      return "float8_e5m2fnuz";
    case Code::Float8_E8M0FNU:
      return "float8_e8m0fnu";
    default:
      break;
  }
  return kind + std::to_string(type.bits);
}

std::string text_of(nb::dlpack::dtype type) {
  return element_text(type) +
         (type.lanes == 1 ? "" : " of " + std::to_string(type.lanes) + " lanes");
}

/// The element types that an argument is ever of.
const char* types_of(std::string_view name) {
  constexpr std::string_view kInt32[] = {"block_table", "indices",   "top_k_lengths",
                                         "kv_lengths",  "q_lengths", "cache_seqlens"};
  constexpr std::string_view kFloat32[] = {"attn_sink", "lse", "max_logits"};
  if (std::ranges::find(kInt32, name) != std::end(kInt32)) return "int32";
  if (std::ranges::find(kFloat32, name) != std::end(kFloat32)) return "float32";
  if (name == "slot_mapping") return "int64";
  if (name == "workspace") return "uint8";
  return "float32, bfloat16 (or its bits as uint16), float16 or float8_e4m3fn";
}

DType dtype_of(const char* name, nb::dlpack::dtype type) {
  const auto is = [&](Code code, int bits) {
    return type.code == static_cast<std::uint8_t>(code) && type.bits == bits && type.lanes == 1;
  };
  if (is(Code::Float, 32)) return DType::kFloat32;
  if (is(Code::Float, 16)) return DType::kFloat16;
  if (is(Code::Bfloat, 16) || is(Code::UInt, 16)) return DType::kBFloat16;
  if (is(Code::Int, 32)) return DType::kInt32;
  if (is(Code::Int, 64)) return DType::kInt64;
  if (is(Code::UInt, 8)) return DType::kUInt8;
  if (is(Code::Float8_E4M3FN, 8)) return DType::kFloat8E4M3;
  refuse((std::string(name) + ".dtype").c_str(), text_of(type), types_of(name));
}

void check_place(const char* name, const Place& place, const Target& target) {
  const bool is_managed = place.device_type == nb::device::cuda_managed::value;
  const bool wants_host = target.is_host();
  if (is_managed) return;
  if (wants_host ? place.is_host() : place.is_cuda() && place.ordinal == target.ordinal) {
    return;
  }
  refuse(name,
         place.is_host()   ? "on the CPU"
         : place.is_cuda() ? "on cuda:" + std::to_string(place.ordinal)
                           : "on DLPack's device type " + std::to_string(place.device_type),
         wants_host ? "on the CPU, as the executor"
                    : "on cuda:" + std::to_string(target.ordinal) + ", as the executor");
}

/// numpy exports no types whose bytes are in the other order.
void check_byte_order(const char* name, nb::handle object, const std::string& dtype) {
  const nb::object type = nb::getattr(object, "dtype", nb::none());
  if (!nb::getattr(type, "isnative", nb::none()).is(Py_False)) return;
  constexpr bool kIsLittle = std::endian::native == std::endian::little;
  refuse((std::string(name) + ".dtype").c_str(), dtype,
         std::string("of the native byte order, ") + (kIsLittle ? "little" : "big") + "-endian");
}

[[noreturn]] void refuse_type(const char* name, nb::handle object, Failure failure = {}) {
  std::string dtype;
  try {
    dtype = dtype_name(object);
    check_byte_order(name, object, dtype);
  } catch (const nb::python_error& error) {
    keep_failure(error, failure);
  }
  throw_type_error(std::string(name) + ": is " + name_of_type(object) +
                       (dtype.empty() ? "" : " of " + dtype) +
                       ", must be an array that exports DLPack or a buffer",
                   failure ? &*failure : nullptr);
}

/// What a view is made of, whoever lent or exported it.
struct Layout {
  void* data;
  Place place;
  DType dtype;
  int rank;
  const std::int64_t* shape;
  const std::int64_t* strides;  // null: row-major without gaps
};

template <typename View>
void fill(const Layout& layout, View& view) {
  view.data = layout.data;
  view.dtype = layout.dtype;
  view.rank = layout.rank;
  std::uint64_t step = 1;  // wraps where the library refuses the shape
  for (int i = layout.rank - 1; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    if (at < view.shape.size()) {
      view.shape[at] = layout.shape[i];
      view.stride[at] =
          layout.strides != nullptr ? layout.strides[i] : static_cast<std::int64_t>(step);
    }
    step *= static_cast<std::uint64_t>(layout.shape[i]);
  }
}

/// Whether elements may be other than their memory says, as torch's lazy negation makes them:
/// imaginary parts of conjugated complex tensors. As such they have no odd stride.
bool may_be_negated(const ConstTensorView& view) {
  if (view.dtype == DType::kInt32 || view.dtype == DType::kUInt8) return false;
  bool is_odd_somewhere = false;
  for (int i = std::min(view.rank, kMaxRank) - 1; i >= 0; --i) {
    const bool is_odd = view.step(i) % 2 != 0;
    if (is_odd && view.dim(i) > 1) return false;
    is_odd_somewhere |= is_odd;
  }
  // Where there is but one element no stride says anything for certain.
  return view.num_elements() > 1 || !is_odd_somewhere;
}

void check_sign(const char* name, const ArrayType& type, nb::handle object,
                const ConstTensorView& view) {
  if (!type.is_tensor || !may_be_negated(view)) return;
  if (type.is_derived) ++num_foreign_calls;
  if (object.attr("is_neg")().is(Py_True)) {
    refuse(name, "a tensor with the negative bit", "resolved by resolve_neg()");
  }
}

void check_rank(const char* name, int rank) {
  if (rank == 0) refuse((std::string(name) + ".rank").c_str(), "0", "at least 1");
}

/// An object to import an array from, and how its elements are to be read where its own type for
/// them is none of DLPack's.
struct Source {
  nb::object object;
  std::optional<DType> dtype{};
};

/// Element types of ml_dtypes are exported neither by DLPack nor as a buffer, but their bits are.
Source bits_of(nb::handle object, Failure& failure) {
  if (!nb::hasattr(object, "view")) return {};
  try {
    const std::string dtype = dtype_name(object);
    if (dtype == "bfloat16") return {object.attr("view")("uint16"), DType::kBFloat16};
    if (dtype == "float8_e4m3fn") return {object.attr("view")("uint8"), DType::kFloat8E4M3};
  } catch (const nb::python_error& error) {
    keep_failure(error, failure);
  }
  return {};
}

/// The DLPack capsule of an array on a device, whose producer makes the target's stream wait for
/// what it has enqueued on the array.
nb::object capsule_for(nb::handle object, const Target& target) {
  const nb::int_ wanted = target.dlpack_stream();
  const nb::object dlpack = object.attr("__dlpack__");
  try {
    return dlpack(nb::arg("stream") = wanted, nb::arg("max_version") = nb::make_tuple(1, 1));
  } catch (const nb::python_error& error) {  // producers from before max_version
    if (!error.matches(PyExc_TypeError)) throw;
  }
  return dlpack(nb::arg("stream") = wanted);
}

template <typename Array>
bool try_import(nb::handle object, Array& array) {
  if (nb::try_cast(object, array) && array.is_valid()) return true;
  clear_failure();
  return false;
}

/// The DLPack capsule of an array on the CPU whose producer is written in Python: nanobind asks for
/// one as well, but drops whatever is raised meanwhile, an interrupt too. Else the object itself.
nb::object capsule_or_buffer(nb::handle object) {
  if (PyObject_CheckBuffer(object.ptr()) != 0 || !nb::hasattr(object, "__dlpack__")) {
    return nb::borrow(object);
  }
  const nb::object dlpack = object.attr("__dlpack__");
  try {
    return dlpack(nb::arg("max_version") = nb::make_tuple(1, 1));
  } catch (const nb::python_error& error) {  // producers from before max_version
    if (!error.matches(PyExc_TypeError)) throw;
  }
  return dlpack();
}

template <typename Array>
bool import_array(const Source& source, bool is_on_device, const Target& target, Array& array,
                  Failure& failure) {
  if (!source.object.is_valid()) return false;
  try {
    return try_import(
        is_on_device ? capsule_for(source.object, target) : capsule_or_buffer(source.object),
        array);
  } catch (const nb::python_error& error) {
    keep_failure(error, failure);
    return false;
  }
}

/// By the producer's Python methods, or as a buffer.
template <typename Array, typename Arg>
bool exported(const char* name, const ArrayType& type, nb::handle object, const Target& target,
              Arg& argument, Failure& failure) {
  ++num_foreign_calls;
  const Place place = place_of(name, type, object);
  check_place(name, place, target);
  const bool is_on_device = place.is_cuda() && !target.is_host();
  Source source{nb::borrow(object)};
  Array array;
  if (!import_array(source, is_on_device, target, array, failure)) {
    source = bits_of(object, failure);
    if (!import_array(source, is_on_device, target, array, failure)) return false;
  }
  const Place exported_place{array.device_type(), array.device_id()};
  check_place(name, exported_place, target);  // an object may say one thing and export another
  const int rank = static_cast<int>(array.ndim());
  check_rank(name, rank);
  fill({const_cast<void*>(static_cast<const void*>(array.data())), exported_place,
        source.dtype ? *source.dtype : dtype_of(name, array.dtype()), rank, array.shape_ptr(),
        array.stride_ptr()},
       argument.view);
  argument.owner = nb::ndarray<nb::ro>(array);
  check_sign(name, type, object, argument.view);
  return true;
}

[[noreturn]] void refuse_lending(const char* name, nb::handle object) {
  Failure failure;
  keep_failure(nb::python_error(), failure);
  refuse_type(name, object, failure);
}

void export_input(const char* name, const ArrayType& type, nb::handle array, const Target& target,
                  Input& argument) {
  Failure failure;
  if (exported<nb::ndarray<nb::ro>>(name, type, array, target, argument, failure)) return;
  refuse_type(name, array, failure);
}

void export_output(const char* name, const ArrayType& type, nb::handle array, const Target& target,
                   Output& argument) {
  Failure failure;
  if (exported<nb::ndarray<>>(name, type, array, target, argument, failure)) return;
  Input read_only;
  if (exported<nb::ndarray<nb::ro>>(name, type, array, target, read_only, failure)) {
    refuse(name, "read-only", "writable");
  }
  refuse_type(name, array, failure);
}

/// By the type's C functions, which cost no call of Python. False where the target's stream would
/// have to wait for the producer's: those functions leave that to their caller.
template <typename Arg>
bool lent(const char* name, const ArrayType& type, nb::handle object, const Target& target,
          Arg& argument) {
  if (type.exchange == nullptr) return false;
  nb::dlpack::dltensor tensor;
  if (type.exchange->dltensor_from_py_object_no_sync(object.ptr(), &tensor) != 0) {
    refuse_lending(name, object);
  }
  const Place place{tensor.device.device_type, tensor.device.device_id};
  check_place(name, place, target);
  if (place.is_cuda() && !target.is_host()) {
    void* stream = nullptr;
    if (type.exchange->current_work_stream(place.device_type, place.ordinal, &stream) != 0) {
      throw nb::python_error();
    }
    if (stream != target.stream) return false;
  }
  check_rank(name, tensor.ndim);
  fill({static_cast<std::byte*>(tensor.data) + tensor.byte_offset, place,
        dtype_of(name, tensor.dtype), tensor.ndim, tensor.shape, tensor.strides},
       argument.view);
  argument.loan = {object, name};
  check_sign(name, type, object, argument.view);
  return true;
}

}  // namespace

Input input(const char* name, nb::handle array, const Target& target) {
  Input argument;
  if (array.is_none()) refuse_type(name, array);
  const ArrayType type = array_type_of(array);
  if (!lent(name, type, array, target, argument)) {
    export_input(name, type, array, target, argument);
  }
  return argument;
}

Output output(const char* name, nb::handle array, const Target& target) {
  Output argument;
  if (array.is_none()) refuse_type(name, array);
  const ArrayType type = array_type_of(array);
  if (type.framework != nullptr && type.framework->is_immutable) {
    refuse(name, "an immutable " + name_of_type(array), "writable");
  }
  if (!lent(name, type, array, target, argument)) {
    export_output(name, type, array, target, argument);
  }
  return argument;
}

Input optional_input(const char* name, nb::handle array, const Target& target) {
  return array.is_none() ? Input{} : input(name, array, target);
}

std::span<std::byte> workspace_bytes(const Output& workspace) {
  const TensorView& view = workspace.view;
  if (view.dtype != DType::kUInt8) refuse("workspace.dtype", to_string(view.dtype), "uint8");
  if (view.rank != 1) refuse("workspace.rank", std::to_string(view.rank), "1");
  if (view.dim(0) < 0) {
    refuse("workspace.shape[0]", std::to_string(view.dim(0)), ">= plan.workspace_bytes");
  }
  if (view.dim(0) > 1 && view.step(0) != 1) {
    refuse("workspace.stride[0]", std::to_string(view.step(0)), "1");
  }
  return {static_cast<std::byte*>(view.data), static_cast<std::size_t>(view.dim(0))};
}

}  // namespace seesaw::python
