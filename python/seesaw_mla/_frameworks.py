"""What only an array's own framework can do: name its current stream, and make arrays for results.

`_core` finds an array's framework by the package that defines its type and calls the functions
registered here. They import nothing that the caller has not imported: whoever has an array of a
framework has the framework.

Of each framework:
  current_stream(array, ordinal)  the cudaStream_t of its current stream on that device, as an int
  empty(like, shape, dtype, ordinal)  memory for a result beside `like`, on the CUDA device
      `ordinal` or, if that is -1, on the CPU; dtype is the library's name of an element type
  result(memory)  the array that is returned for it; None where the memory is that array
"""

from __future__ import annotations

import sys
from typing import Any

from . import _core

Shape = tuple[int, ...]


def _torch_stream(array: Any, ordinal: int) -> int:
    return sys.modules["torch"].cuda.current_stream(ordinal).cuda_stream  # type: ignore[no-any-return]


def _torch_empty(like: Any, shape: Shape, dtype: str, ordinal: int) -> Any:
    torch = sys.modules["torch"]
    return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)


def _cupy_stream(array: Any, ordinal: int) -> int:
    # What is current belongs to the current device: it is asked for each device by itself.
    cuda = sys.modules["cupy"].cuda
    return cuda.get_current_stream(ordinal).ptr  # type: ignore[no-any-return]


def _cupy_empty(like: Any, shape: Shape, dtype: str, ordinal: int) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(ordinal):
        return cupy.empty(shape, _type_beside(like, dtype))


def _numpy_empty(like: Any, shape: Shape, dtype: str, ordinal: int) -> Any:
    import numpy

    return numpy.empty(shape, _type_beside(like, dtype))


def _type_beside(like: Any, dtype: str) -> Any:
    """numpy and CuPy have no bfloat16 of their own: that of ml_dtypes, as `like` has it, or its
    bits."""
    if dtype != "bfloat16":
        return dtype
    beside = getattr(like, "dtype", None)
    return beside if getattr(beside, "name", "") == dtype else "uint16"


def _jax_stream(array: Any, ordinal: int) -> int:
    (device,) = array.devices()
    return device.get_stream_for_external_ready_events()  # type: ignore[no-any-return]


def _jax_empty(like: Any, shape: Shape, dtype: str, ordinal: int) -> Any:
    # Arrays of JAX are never written: the memory is ours, and becomes one when it has been.
    if ordinal < 0:
        return _core._host_array(shape, dtype)
    raise NotImplementedError("results for JAX on a CUDA device")


def _jax_result(memory: Any) -> Any:
    import jax.dlpack

    return jax.dlpack.from_dlpack(memory)


_core._register_framework("numpy", None, _numpy_empty, None, is_immutable=False)
_core._register_framework("torch", _torch_stream, _torch_empty, None, is_immutable=False)
_core._register_framework("cupy", _cupy_stream, _cupy_empty, None, is_immutable=False)
for _package in ("jax", "jaxlib"):
    _core._register_framework(_package, _jax_stream, _jax_empty, _jax_result, is_immutable=True)
