"""What only an array's own framework can do: name its current stream, and make arrays for results.

`_core` finds an array's framework by the package that defines its type and calls the functions
registered here. They import nothing that the caller has not imported: whoever has an array of a
framework has the framework.

Of each framework:
  current_stream(array, ordinal)  the cudaStream_t of its current stream on that device, as an int
  empty(like, shape, strides, dtype, ordinal, stream)  memory for a result beside `like`, which is
      written on that stream of the CUDA device `ordinal` or, if that is -1, on the CPU; strides are
      a row-major array's, dtype is the library's name of an element type
  result(memory)  the array that is returned for it; None where the memory is that array
  enqueued(arrays, ordinal, stream)  told of a call's arrays, its query or lengths first, when its
      work on them is enqueued on a device; None where nobody need know
Streams are DLPack's numbers: cudaStream_t, and 1 for the default stream.
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


def _torch_empty(
    like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int, stream: int
) -> Any:
    empty_strided, types = _torch_names()
    return empty_strided(shape, strides, dtype=types[dtype], device=like.device)


def _cupy_stream(array: Any, ordinal: int) -> int:
    # What is current belongs to the current device: it is asked for each device by itself.
    cuda = sys.modules["cupy"].cuda
    return cuda.get_current_stream(ordinal).ptr  # type: ignore[no-any-return]


def _cupy_empty(
    like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int, stream: int
) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(ordinal):
        return cupy.empty(shape, _type_beside(like, dtype))


def _numpy_empty(
    like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int, stream: int
) -> Any:
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


_jax_streams: dict[Any, int] = {}  # of devices that were asked


def _jax_stream(array: Any, ordinal: int) -> int:
    """JAX's own stream is nobody else's to use; it has others for what is done outside of it, and
    names them in turn. A device's calls stay on the first one named: what one call leaves in a
    plan's workspace the next one reads."""
    device = _jax_device(array)
    if device not in _jax_streams:  # of two threads here the first one's answer is kept
        _jax_streams.setdefault(device, device.get_stream_for_external_ready_events())
    return _jax_streams[device]


class _JaxMemory:
    """Memory on a device that is written on a stream and becomes an array of JAX afterwards, as
    such arrays are never written themselves. Exports DLPack and nothing else, without a version:
    so nothing of it says that it is read-only."""

    def __init__(self, array: Any, ordinal: int, stream: int) -> None:
        self._array, self._ordinal, self._stream = array, ordinal, stream

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> Any:
        # To its own stream it is given to be written; whoever has it on another one, as from_dlpack
        # has on the next one in turn, sees what was written. DLPack's None is the default stream.
        if stream != self._stream:
            _core._order_streams(1 if stream is None else stream, self._stream, self._ordinal)
        return self._array.__dlpack__(stream=stream)


def _jax_empty(
    like: Any, shape: Shape, strides: Shape, dtype: str, ordinal: int, stream: int
) -> Any:
    if ordinal < 0:
        return _core._host_array(shape, dtype)
    array = _jax_module("numpy").empty(shape, dtype, device=_jax_device(like))
    return _JaxMemory(array, ordinal, stream)


def _jax_result(memory: Any) -> Any:
    return _jax_module("dlpack").from_dlpack(memory)


class _Kept:
    """Arrays that JAX must not use again yet: it does so as soon as nobody holds them, and knows
    nothing of what others have enqueued on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: collections.deque[tuple[Any, tuple[Any, ...]]] = collections.deque()

    def add(self, arrays: tuple[Any, ...], ordinal: int, stream: int) -> None:
        """Keeps `arrays` until the device has done all that is enqueued on the stream now."""
        done = self._mark(arrays[0], ordinal, stream)
        done.is_ready()  # JAX begins to watch for that when it is first asked
        with self._lock:
            self._calls.append((done, arrays))
            while self._calls and self._calls[0][0].is_ready():
                self._calls.popleft()

    def _mark(self, array: Any, ordinal: int, stream: int) -> Any:
        """An array that is ready when the stream has come to where it is now."""
        byte = _jax_module("numpy").zeros(1, "uint8", device=_jax_device(array))
        return _jax_result(_JaxMemory(byte, ordinal, stream))


_kept_for_jax = _Kept()

_register = _core._register_framework
_register("numpy", None, _numpy_empty, None, None, is_immutable=False)
_register("torch", _torch_stream, _torch_empty, None, None, is_immutable=False)
_register("cupy", _cupy_stream, _cupy_empty, None, None, is_immutable=False)
for _package in ("jax", "jaxlib"):
    _register(
        _package, _jax_stream, _jax_empty, _jax_result, _kept_for_jax.add, is_immutable=True
    )
