// Arrays of other frameworks as the library's views.
#include <nanobind/stl/string.h>

#include <string>

#include "binding.h"

namespace seesaw::python {
namespace {

std::string name_of_type(nb::handle object) {
  return nb::cast<std::string>(nb::str(nb::type_name(object.type())));
}

/// The array's own word for its element type, where it has one.
std::string dtype_name(nb::handle object) {
  if (!nb::hasattr(object, "dtype")) return "";
  return nb::cast<std::string>(nb::str(nb::object(object.attr("dtype"))));
}

std::string text_of(nb::dlpack::dtype type) {
  const char* kind = "type";
  switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
    case nb::dlpack::dtype_code::Int:
      kind = "int";
      break;
    case nb::dlpack::dtype_code::UInt:
      kind = "uint";
      break;
    case nb::dlpack::dtype_code::Float:
      kind = "float";
      break;
    case nb::dlpack::dtype_code::Bool:
      kind = "bool";
      break;
    case nb::dlpack::dtype_code::Complex:
      kind = "complex";
      break;
    case nb::dlpack::dtype_code::Bfloat:
      kind = "bfloat";
      break;
    default:
      break;
  }
  return kind + std::to_string(type.bits);
}

DType dtype_of(const char* name, nb::dlpack::dtype type) {
  using Code = nb::dlpack::dtype_code;
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
  refuse((std::string(name) + ".dtype").c_str(), text_of(type),
         "float32, bfloat16 (or its bits as uint16), float16, float8_e4m3fn, int32, int64 or "
         "uint8");
}

void check_device(const char* name, int type, int ordinal, const Executor& executor) {
  const bool is_host = type == nb::device::cpu::value || type == nb::device::cuda_host::value;
  const bool is_cuda = type == nb::device::cuda::value;
  const bool is_managed = type == nb::device::cuda_managed::value;
  const bool wants_host = executor.kind() == DeviceKind::kCpu;
  if (is_managed || (wants_host ? is_host : is_cuda && ordinal == executor.cuda_ordinal())) return;
  const std::string actual = is_host   ? "on the CPU"
                             : is_cuda ? "on cuda:" + std::to_string(ordinal)
                                       : "on DLPack's device type " + std::to_string(type);
  refuse(name, actual,
         wants_host ? "on the CPU, as the executor"
                    : "on cuda:" + std::to_string(executor.cuda_ordinal()) + ", as the executor");
}

/// numpy neither exports the bfloat16 of ml_dtypes by DLPack nor as a buffer: its bits do.
nb::object bits_of_bfloat16(nb::handle object) {
  if (!nb::hasattr(object, "view") || dtype_name(object) != "bfloat16") return {};
  return object.attr("view")("uint16");
}

template <typename Array>
bool take(nb::handle object, Array& array) {
  if (nb::try_cast(object, array) && array.is_valid()) return true;
  PyErr_Clear();
  const nb::object bits = bits_of_bfloat16(object);
  return bits.is_valid() && nb::try_cast(bits, array) && array.is_valid();
}

template <typename Arg, typename Array>
Arg view_of(const char* name, Array array, const Executor& executor) {
  check_device(name, array.device_type(), array.device_id(), executor);
  if (array.ndim() == 0) refuse((std::string(name) + ".rank").c_str(), "0", "at least 1");
  Arg argument;
  argument.view.dtype = dtype_of(name, array.dtype());
  argument.view.rank = static_cast<int>(array.ndim());
  argument.view.data = array.data();
  for (std::size_t i = 0; i < array.ndim() && i < argument.view.shape.size(); ++i) {
    argument.view.shape[i] = static_cast<std::int64_t>(array.shape(i));
    argument.view.stride[i] = array.stride(i);
  }
  argument.array = std::move(array);
  return argument;
}

[[noreturn]] void refuse_type(const char* name, nb::handle object) {
  const std::string dtype = dtype_name(object);
  throw nb::type_error((std::string(name) + ": is " + name_of_type(object) +
                        (dtype.empty() ? "" : " of " + dtype) +
                        ", must be an array that exports DLPack or a buffer")
                           .c_str());
}

}  // namespace

Input input(const char* name, nb::handle object, const Executor& executor) {
  nb::ndarray<nb::ro> array;
  if (object.is_none() || !take(object, array)) refuse_type(name, object);
  return view_of<Input>(name, std::move(array), executor);
}

Output output(const char* name, nb::handle object, const Executor& executor) {
  nb::ndarray<> array;
  if (object.is_none() || !take(object, array)) {
    nb::ndarray<nb::ro> read_only;
    if (!object.is_none() && take(object, read_only)) refuse(name, "read-only", "writable");
    refuse_type(name, object);
  }
  return view_of<Output>(name, std::move(array), executor);
}

Input optional_input(const char* name, nb::handle object, const Executor& executor) {
  return object.is_none() ? Input{} : input(name, object, executor);
}

Output optional_output(const char* name, nb::handle object, const Executor& executor) {
  return object.is_none() ? Output{} : output(name, object, executor);
}

nb::object new_numpy_array(const std::vector<std::int64_t>& shape, DType dtype, nb::handle like) {
  const nb::object numpy = nb::module_::import_("numpy");
  nb::list dims;
  for (const std::int64_t dim : shape) dims.append(dim);
  nb::object type = nb::str(to_string(dtype));
  if (dtype == DType::kBFloat16) {
    const bool is_like =
        nb::isinstance(like, numpy.attr("ndarray")) && dtype_name(like) == "bfloat16";
    type = is_like ? nb::object(like.attr("dtype")) : nb::object(nb::str("uint16"));
  }
  return numpy.attr("empty")(nb::tuple(dims), type);
}

std::vector<std::int32_t> read_lengths(const char* name, nb::handle object) {
  std::vector<std::int32_t> lengths;
  if (object.is_none()) return lengths;
  if (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object)) {
    for (nb::handle item : object) {
      const std::string place = std::string(name) + "[" + std::to_string(lengths.size()) + "]";
      // An int, or what stands for one without loss, as a numpy integer does.
      const nb::object number = nb::steal(PyNumber_Index(item.ptr()));
      if (!number.is_valid()) {
        PyErr_Clear();
        const std::string text = nb::cast<std::string>(nb::repr(item));
        throw nb::type_error((place + ": is " + text + ", must be an int").c_str());
      }
      std::int32_t length = 0;
      if (!nb::try_cast(number, length)) {
        refuse(place.c_str(), nb::cast<std::string>(nb::str(number)), "an int32");
      }
      lengths.push_back(length);
    }
    return lengths;
  }
  nb::ndarray<nb::ro> array;
  if (!take(object, array)) {
    throw nb::type_error((std::string(name) + ": is " + name_of_type(object) +
                          ", must be a list of ints or an int32 array")
                             .c_str());
  }
  if (array.device_type() != nb::device::cpu::value) refuse(name, "on a device", "on the CPU");
  if (array.ndim() != 1) {
    refuse((std::string(name) + ".rank").c_str(), std::to_string(array.ndim()), "1");
  }
  if (array.dtype() != nb::dtype<std::int32_t>()) {
    refuse((std::string(name) + ".dtype").c_str(), text_of(array.dtype()), "int32");
  }
  const auto* const data = static_cast<const std::int32_t*>(array.data());
  lengths.reserve(array.shape(0));
  for (std::size_t i = 0; i < array.shape(0); ++i) {
    lengths.push_back(data[static_cast<std::int64_t>(i) * array.stride(0)]);
  }
  return lengths;
}

}  // namespace seesaw::python
