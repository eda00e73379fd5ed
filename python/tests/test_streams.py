"""Which stream a call runs on, and what producers are told of it: with arrays of a device that is
not there, so that each call ends in the library's refusal, after its arrays were taken."""

import itertools
import types

import numpy as np
import pytest
from decode_case import small_problem
from fake_device import (
    CUDA,
    CURRENT_STREAM,
    ArrayOfNewerDLPack,
    DeviceArray,
    LendingArray,
    OldDeviceArray,
)

import seesaw_mla as sm
from seesaw_mla import _core, _frameworks

INT, UINT = 0, 1
SHAPES = {
    "q": ((2, 1, 4, 96), {}),
    "kv_cache": ((9, 16, 1, 96), {}),
    "block_table": ((2, 4), {"code": INT}),
    "out": ((2, 1, 4, 64), {}),
    "lse": ((2, 4, 1), {}),
    "workspace": ((1 << 20,), {"code": UINT, "bits": 8}),
}


@pytest.fixture
def plan():
    return sm.plan(small_problem(2, s_q=1), sm.probe_cpu(), [20, 30])


def arrays_of(kind, ordinal=0, but=()):
    return {
        name: kind(shape, ordinal=ordinal, **options)
        for name, (shape, options) in SHAPES.items()
        if name not in but
    }


def decode(plan, arrays, match="executor: is a CUDA stream", **options):
    with pytest.raises(sm.SeesawError, match=match):
        sm.decode(plan, **arrays, **options)


@pytest.mark.parametrize("kind", [DeviceArray, OldDeviceArray, ArrayOfNewerDLPack])
@pytest.mark.parametrize("stream, told", [(0, 1), (1, 1), (2, 2), (0x5500, 0x5500)])
def test_producers_are_told_the_executors_stream(plan, kind, stream, told):
    arrays = arrays_of(kind, ordinal=3)
    decode(plan, arrays, executor=sm.Executor.cuda(3, stream))
    for name, array in arrays.items():
        assert array.streams == [told], name


def test_arrays_of_no_framework_run_on_the_default_stream(plan):
    arrays = arrays_of(DeviceArray, ordinal=1)
    decode(plan, arrays)
    assert all(array.streams == [1] for array in arrays.values())
    decode(plan, arrays_of(DeviceArray, but=["out"]), match="out: is None, must be given")
    decode(plan, arrays_of(DeviceArray, but=["workspace"]), match="plan: is not prepared")


def test_arrays_of_another_device_or_of_the_host_are_refused(plan):
    arrays = arrays_of(DeviceArray)
    arrays["kv_cache"] = DeviceArray(SHAPES["kv_cache"][0], ordinal=1)
    decode(plan, arrays, match="kv_cache: is on cuda:1, must be on cuda:0, as the executor")
    assert arrays["kv_cache"].streams == []  # exporting may cost a wait
    decode(plan, arrays, match="q: is on cuda:0, must be on the CPU", executor=sm.Executor.cpu(1))
    assert arrays["q"].streams == [1]


def test_arrays_of_other_devices(plan):
    class Metal(DeviceArray):
        def __dlpack_device__(self):
            return 8, 0

    decode(plan, arrays_of(Metal), match="q: is on DLPack's device type 8, must be on the CPU or")


def test_lent_arrays_run_on_their_current_stream(plan):
    arrays = arrays_of(LendingArray, ordinal=2)
    for runs in (None, sm.Executor.cuda(2, CURRENT_STREAM + 2)):
        decode(plan, arrays, executor=runs)
    for name, array in arrays.items():
        assert array.streams == [] and array.num_loans >= 2, name


def test_lent_arrays_are_exported_to_another_stream(plan):
    arrays = arrays_of(LendingArray)
    decode(plan, arrays, executor=sm.Executor.cuda(0, 0x5500))
    assert all(array.streams == [0x5500] for array in arrays.values())


def test_lent_and_exported_arrays_may_be_mixed(plan):
    arrays = arrays_of(DeviceArray)
    arrays["q"] = LendingArray(SHAPES["q"][0])
    decode(plan, arrays)
    assert arrays["kv_cache"].streams == [CURRENT_STREAM]
    arrays = arrays_of(LendingArray)
    arrays["q"] = DeviceArray(SHAPES["q"][0])
    decode(plan, arrays)
    assert arrays["q"].streams == [1] and arrays["kv_cache"].streams == [1]


def test_a_framework_that_cannot_make_results(plan):
    framework = Framework()
    framework.error = MemoryError("device is full")
    with pytest.raises(MemoryError, match="device is full"):
        sm.decode(plan, **arrays_of(framework.Array, but=["out"]))


class Framework:
    """What seesaw_mla/_frameworks.py registers of a framework, and the calls it got."""

    stream = 0x6600
    error = None

    def __init__(self):
        self.made, self.told = [], []
        package = f"framework_{id(self)}"
        _core._register_framework(
            package, self.current_stream, self.empty, None, self.told.append, is_immutable=False
        )
        self.Array = type("Array", (DeviceArray,), {"__module__": package + ".arrays"})

    def current_stream(self, array, ordinal):
        assert array.ordinal == ordinal
        return self.stream

    def empty(self, like, shape, strides, dtype, ordinal, stream):
        if self.error:
            raise self.error
        self.made.append((shape, strides, dtype, ordinal, stream))
        return self.Array(shape, ordinal=ordinal)


def test_results_are_made_by_the_framework_on_its_stream(plan):
    framework = Framework()
    arrays = arrays_of(framework.Array, ordinal=1, but=["out", "lse"])
    decode(plan, arrays)
    assert framework.made == [
        ((2, 1, 4, 64), (256, 256, 64, 1), "float32", 1, framework.stream),
        ((2, 4, 1), (4, 1, 1), "float32", 1, framework.stream),
    ]
    assert all(array.streams == [framework.stream] for array in arrays.values())
    assert framework.told == []  # nothing was enqueued


@pytest.mark.parametrize("stream, told", [(0, 1), (0x5500, 0x5500)])
def test_results_are_made_for_the_executors_stream(plan, stream, told):
    framework = Framework()
    arrays = arrays_of(framework.Array, but=["out", "lse"])
    decode(plan, arrays, executor=sm.Executor.cuda(0, stream))
    assert [made[-1] for made in framework.made] == [told, told]


class JaxDevice:
    """Names its streams for work outside of JAX in turn, as XLA's devices do."""

    def __init__(self):
        streams = itertools.cycle([0x100, 0x200, 0x300, 0x400])
        self.get_stream_for_external_ready_events = lambda: next(streams)


class Jax:
    """JAX with a device, as far as results are made by it."""

    def __init__(self, monkeypatch):
        self.device = JaxDevice()
        self.made, self.ordered = [], []
        attributes = {"__module__": "jaxlib", "devices": lambda array: {self.device}}
        self.Array = type("Array", (DeviceArray,), attributes)
        modules = {
            "numpy": types.SimpleNamespace(empty=self.empty, zeros=self.empty),
            "dlpack": types.SimpleNamespace(from_dlpack=self.from_dlpack),
        }
        monkeypatch.setattr(_frameworks, "_jax_module", modules.__getitem__)
        monkeypatch.setattr(_core, "_order_streams", lambda *order: self.ordered.append(order))

    def empty(self, shape, dtype, device):
        assert device is self.device
        options = {"code": UINT, "bits": 8} if dtype == "uint8" else {}
        self.made.append(self.Array(np.atleast_1d(shape).tolist(), **options))
        return self.made[-1]

    def from_dlpack(self, memory):
        self.named = self.device.get_stream_for_external_ready_events()
        assert memory.__dlpack_device__() == (CUDA, 0)
        memory.__dlpack__(stream=self.named)
        return types.SimpleNamespace(is_ready=lambda: True)


def test_calls_with_arrays_of_jax_stay_on_one_stream(plan, monkeypatch):
    jax = Jax(monkeypatch)
    given = []
    for _ in range(3):
        lengths = jax.Array((2,), code=INT)
        with pytest.raises(sm.InvalidArgumentError, match="executor: is a CUDA stream"):
            sm.prepare(plan, lengths)  # makes a workspace
        arrays = arrays_of(jax.Array, but=["out", "lse", "workspace"])
        decode(plan, arrays)
        given += [lengths, *arrays.values()]
    assert len(jax.made) == 1 + 3 * 2
    for array in given + jax.made:
        assert array.streams == [0x100]
    assert jax.ordered == []


def test_arrays_of_jax_run_on_an_executors_stream(plan, monkeypatch):
    jax = Jax(monkeypatch)
    arrays = arrays_of(jax.Array, but=["out", "lse", "workspace"])
    runs = sm.Executor.cuda(0, 0x5500)
    with pytest.raises(sm.InvalidArgumentError, match="executor: is a CUDA stream"):
        sm.prepare(plan, jax.Array((2,), code=INT), executor=runs)
    decode(plan, arrays, executor=runs)
    for array in [*arrays.values(), *jax.made]:
        assert array.streams == [0x5500]


@pytest.mark.parametrize("stream", [1, 0x100, 0x5500])
def test_jax_is_made_to_wait_for_what_it_gets(monkeypatch, stream):
    jax = Jax(monkeypatch)
    like = jax.Array((5,))
    memory = _frameworks._jax_empty(like, (2, 3), (3, 1), "float32", 0, stream)
    jax.Array.__dlpack__(memory._array, stream=stream)  # the call's own
    for _ in range(5):
        jax.ordered.clear()
        _frameworks._jax_result(memory)
        waits = [] if jax.named == stream else [(jax.named, stream, 0)]
        assert jax.ordered == waits
        assert memory._array.streams[-1] == jax.named
    kept = _frameworks._Kept()
    jax.ordered.clear()
    kept.add((like,), 0, stream)
    kept.add((like,), 0, stream)
    assert {order[1:] for order in jax.ordered} == {(stream, 0)} and not kept._calls


def test_streams_of_a_device_that_is_not_there():
    with pytest.raises(sm.SeesawError, match="executor.cuda_ordinal: is 1000|no CUDA kernels"):
        _core._order_streams(1, 2, 1000)


def test_a_programs_own_subclasses_are_of_their_framework(plan):
    framework = Framework()
    own = type("Own", (framework.Array,), {"__module__": "program"})
    arrays = arrays_of(own, but=["out", "lse"])
    decode(plan, arrays)
    assert len(framework.made) == 2 and arrays["q"].streams == [framework.stream]


def test_arrays_that_fail(plan):
    class Broken(DeviceArray):
        def __dlpack_device__(self):
            raise OSError("lost")

    with pytest.raises(TypeError, match="q: is .*, must be an array that says where it lies: lost"):
        sm.decode(plan, **arrays_of(Broken))

    class Refuses(DeviceArray):
        def __dlpack__(self, **options):
            raise BufferError("no")

    with pytest.raises(TypeError, match="q: is .*Refuses, must be an array that exports"):
        sm.decode(plan, **arrays_of(Refuses))


def test_prepare_needs_to_know_whose_stream():
    device = sm.DeviceSpec()
    device.kind, device.sm_arch = sm.DeviceKind.CUDA, 90
    device.num_workers, device.shared_memory_bytes = 132, 232448
    plan = sm.plan(sm.AttentionProblem(batch=1), device, [5])
    with pytest.raises(sm.InvalidArgumentError, match="executor: is None, must be given"):
        sm.prepare(plan)
