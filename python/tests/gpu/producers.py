"""The frameworks whose arrays the tests give: from numpy, to numpy, and streams of theirs.

Only what a test needs is imported, when it needs it, so that each skips by itself.
"""

import contextlib

import ml_dtypes
import numpy as np
import pytest

CYCLES = 200_000_000  # about 0.1 s of a device's clock


class Torch:
    """Tensors of torch."""

    def __init__(self):
        self.torch = pytest.importorskip("torch", reason="torch is not installed")
        if not self.torch.cuda.is_available():
            pytest.skip("torch has no CUDA device")

    def array(self, array):
        torch = self.torch
        if array.dtype == ml_dtypes.bfloat16:
            return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16).cuda()
        return torch.from_numpy(np.ascontiguousarray(array)).cuda()

    def numpy(self, array):
        torch = self.torch
        if array.dtype == torch.bfloat16:
            return array.view(torch.uint16).cpu().numpy().view(ml_dtypes.bfloat16)
        return array.cpu().numpy()

    def is_own(self, array):
        return isinstance(array, self.torch.Tensor) and array.is_cuda

    def stream(self):
        """A side stream as the current one."""
        return self.torch.cuda.stream(self.torch.cuda.Stream())

    def late_copy(self, array):
        """A copy that the current stream makes, after a while."""
        late = self.torch.full_like(array, float("nan"))
        self.torch.cuda._sleep(CYCLES)
        return late.copy_(array)

    def synchronize(self):
        self.torch.cuda.synchronize()


class CuPy:
    """Arrays of CuPy; bfloat16 as its bits."""

    def __init__(self):
        self.cupy = pytest.importorskip("cupy", reason="cupy is not installed")
        if not self.cupy.cuda.is_available():
            pytest.skip("cupy has no CUDA device")

    def array(self, array):
        return self.cupy.asarray(
            array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array
        )

    def numpy(self, array):
        host = self.cupy.asnumpy(array)
        return host.view(ml_dtypes.bfloat16) if host.dtype == np.uint16 else host

    def is_own(self, array):
        return isinstance(array, self.cupy.ndarray)

    def stream(self):
        return self.cupy.cuda.Stream(non_blocking=True)

    def late_copy(self, array):
        late = self.cupy.full_like(array, 0x7FFF if array.dtype == np.uint16 else np.nan)
        busy = self.cupy.ones((4096, 4096), np.float32)
        for _ in range(20):
            busy = busy @ busy * np.float32(1e-4)
        late[...] = array
        return late

    def synchronize(self):
        self.cupy.cuda.Device().synchronize()


class Jax:
    """Arrays of JAX, which has no streams to choose."""

    def __init__(self):
        self.jax = pytest.importorskip("jax", reason="jax is not installed")
        try:
            self.device = self.jax.devices("cuda")[0]
        except RuntimeError:
            pytest.skip("jax has no CUDA device")

    def array(self, array):
        return self.jax.device_put(array, self.device)

    def numpy(self, array):
        return np.asarray(array)

    def is_own(self, array):
        return isinstance(array, self.jax.Array) and array.devices() == {self.device}

    def stream(self):
        return contextlib.nullcontext()

    def late_copy(self, array):
        jnp = self.jax.numpy

        def late(array):
            busy = jnp.ones((4096, 4096))
            busy = self.jax.lax.fori_loop(0, 20, lambda _, x: x @ x * 1e-4, busy)
            return array + (busy[0, 0] * 0).astype(array.dtype)

        return self.jax.jit(late)(array)

    def synchronize(self):
        self.jax.numpy.zeros(1, device=self.device).block_until_ready()


PRODUCERS = {"torch": Torch, "cupy": CuPy, "jax": Jax}
