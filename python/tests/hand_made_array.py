"""Arrays of the CPU whose DLPack capsule says what no framework's would."""

import ctypes

import numpy as np
from fake_device import CPU, DLManagedTensor, new_capsule


class HandMadeArray:
    """Whatever it says of itself, its memory is one page of zeros."""

    def __init__(self, shape, code=2, bits=32, lanes=1):
        self.memory = np.zeros(4096, np.uint8)
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.managed = managed = DLManagedTensor()
        tensor = managed.tensor
        tensor.data, tensor.device_type = self.memory.ctypes.data, CPU
        tensor.ndim, tensor.shape = len(shape), self.shape
        tensor.code, tensor.bits, tensor.lanes = code, bits, lanes

    def __dlpack_device__(self):
        return CPU, 0

    def __dlpack__(self, **options):
        return new_capsule(ctypes.addressof(self.managed), b"dltensor", None)
