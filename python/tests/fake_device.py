"""Arrays that say that they lie on a CUDA device: for what happens before a device is touched."""

import ctypes

CPU, CUDA = 1, 2


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class DLManagedTensor(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", Deleter)]


class ExchangeApi(ctypes.Structure):
    """As DLPack's header has it."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("older", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("export", ctypes.c_void_p),
        ("wrap", ctypes.c_void_p),
        ("lend", ctypes.c_void_p),
        ("stream", ctypes.c_void_p),
    ]


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

_deleted: list[int] = []
_delete = Deleter(lambda pointer: _deleted.append(pointer))
_exported = {}  # what a capsule points at lives until the tests end


class DeviceArray:
    """Notes the stream of each export; its memory is a number that nobody may follow."""

    address = 1 << 20

    def __init__(self, shape, code=2, bits=32, ordinal=0):
        self.shape, self.code, self.bits, self.ordinal = shape, code, bits, ordinal
        self.streams = []
        self.c_shape = (ctypes.c_int64 * len(shape))(*shape)
        DeviceArray.address += 1 << 20
        self.address = DeviceArray.address

    def fill(self, tensor):
        tensor.data, tensor.device_type, tensor.device_id = self.address, CUDA, self.ordinal
        tensor.ndim, tensor.shape, tensor.strides = len(self.shape), self.c_shape, None
        tensor.code, tensor.bits, tensor.lanes, tensor.byte_offset = self.code, self.bits, 1, 0

    def __dlpack_device__(self):
        return CUDA, self.ordinal

    def __dlpack__(self, *, stream=None, max_version=None):
        self.streams.append(stream)
        managed = DLManagedTensor(deleter=_delete)
        self.fill(managed.tensor)
        address = ctypes.addressof(managed)
        _exported[address] = (managed, self.c_shape)
        return new_capsule(address, b"dltensor", None)


class OldDeviceArray(DeviceArray):
    """From before DLPack had versions."""

    def __dlpack__(self, stream=None):
        return super().__dlpack__(stream=stream)


CURRENT_STREAM = 0x7700


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(DLTensor))
def _lend(array, tensor):
    array.num_loans += 1
    array.fill(tensor.contents)
    return 0


@ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p)
)
def _stream(device_type, ordinal, stream):
    stream[0] = CURRENT_STREAM + ordinal
    return 0


def exchange_capsule(major=1, older=None):
    api = ExchangeApi(major=major, minor=3, older=older and ctypes.addressof(older))
    api.lend = ctypes.cast(_lend, ctypes.c_void_p)
    api.stream = ctypes.cast(_stream, ctypes.c_void_p)
    _exported[ctypes.addressof(api)] = api
    return new_capsule(ctypes.addressof(api), b"dlpack_exchange_api", None)


class LendingArray(DeviceArray):
    """Has the table of C functions, as tensors of torch do."""

    num_loans = 0
    __dlpack_c_exchange_api__ = exchange_capsule()


class ArrayOfNewerDLPack(DeviceArray):
    """Has a table of another major version, and nothing older."""

    num_loans = 0
    __dlpack_c_exchange_api__ = exchange_capsule(major=2)
