"""What only an array's own framework can do: name its current stream, and make arrays for results.

`_core` finds an array's framework by the package that defines its type and calls the functions
registered here. They import nothing that the caller has not imported: whoever has an array of a
framework has the framework.

Of each framework:
  current_stream(array, ordinal)  the cudaStream_t of its current stream on that device, as an int
  empty(like, shape, strides, dtype, ordinal)  memory for a result beside `like`, on the CUDA
      device `ordinal` or, if that is -1, on the CPU; strides are a row-major array's, dtype is the
      library's name of an element type
  result(memory)  the array that is returned for it; None where the memory is that array
  enqueued(arrays, ordinal)  told of a call's arrays, its query or lengths first, when its work on
      them is enqueued on a device; None where nobody need know
"""

from __future__ import annotations

import collections
import functools
import importlib
import sys
import threading
from typing import Any

from . import _core

Shape = tuple[int, ...]


def _torch_stream(array: Any, ordinal: int) -> int:
    cuda = sys.modules["torch"].cuda
    return cuda.current_stream(ordinal).cuda_stream  # type: ignore[no-any-return]


@functools.cache
def _torch_names() -> tuple[Any, dict[str, Any]]:
    torch = sys.modules["torch"]
    names = ("float32", "bfloat16", "float16", "uint8")
    # The same as torch.empty, whose arguments take torch 1 us longer to read.
    return torch.empty_strided, {name: getattr(torch, name) for name in names}


def _torch_empty(like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int) -> Any:
    empty_strided, types = _torch_names()
    return empty_strided(shape, strides, dtype=types[dtype], device=like.device)


def _cupy_stream(array: Any, ordinal: int) -> int:
    # What is current belongs to the current device: it is asked for each device by itself.
    cuda = sys.modules["cupy"].cuda
    return cuda.get_current_stream(ordinal).ptr  # type: ignore[no-any-return]


def _cupy_empty(like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(ordinal):
        return cupy.empty(shape, _type_beside(like, dtype))


def _numpy_empty(like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int) -> Any:
    import numpy

    return numpy.empty(shape, _type_beside(like, dtype))


def _type_beside(like: Any, dtype: str) -> Any:
    """numpy and CuPy have no bfloat16 of their own: that of ml_dtypes, as `like` has it, or its
    bits."""
    if dtype != "bfloat16":
        return dtype
    beside = getattr(like, "dtype", None)
    return beside if getattr(beside, "name", "") == dtype else "uint16"


@functools.cache
def _jax_module(name: str) -> Any:
    return importlib.import_module("jax." + name)


def _jax_device(array: Any) -> Any:
    (device,) = array.devices()
    return device


def _jax_stream(array: Any, ordinal: int) -> int:
    # JAX's own stream is nobody else's to use. What is done on this one its arrays can wait for.
    return _jax_device(array).get_stream_for_external_ready_events()  # type: ignore[no-any-return]


def _jax_empty(like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int) -> Any:
    """Arrays of JAX are never written: what is written is memory that becomes one afterwards."""
    if ordinal < 0:
        return _core._host_array(shape, dtype)
    memory = _jax_module("numpy").empty(shape, dtype, device=_jax_device(like))
    return _core._exporter(memory, _jax_stream(like, ordinal))


def _jax_result(memory: Any) -> Any:
    return _jax_module("dlpack").from_dlpack(memory)


class _Kept:
    """Arrays that JAX must not use again yet: it does so as soon as nobody holds them, and knows
    nothing of what others have enqueued on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: collections.deque[tuple[Any, tuple[Any, ...]]] = collections.deque()

    def add(self, arrays: tuple[Any, ...], ordinal: int) -> None:
        """Keeps `arrays` until the device has done all that is enqueued now."""
        done = self._mark(arrays[0], ordinal)
        with self._lock:
            self._calls.append((done, arrays))
            while self._calls and self._calls[0][0].is_ready():
                self._calls.popleft()

    def _mark(self, array: Any, ordinal: int) -> Any:
        """An array that is ready when the stream has come to where it is now."""
        byte = _jax_module("numpy").zeros(1, "uint8", device=_jax_device(array))
        return _jax_result(_core._exporter(byte, _jax_stream(array, ordinal)))


_kept_for_jax = _Kept()

_register = _core._register_framework
_register("numpy", None, _numpy_empty, None, None, is_immutable=False)
_register("torch", _torch_stream, _torch_empty, None, None, is_immutable=False)
_register("cupy", _cupy_stream, _cupy_empty, None, None, is_immutable=False)
for _package in ("jax", "jaxlib"):
    _register(
        _package, _jax_stream, _jax_empty, _jax_result, _kept_for_jax.add, is_immutable=True
    )
