"""Arrays of torch, JAX and numpy on the CPU: what goes in, what comes back, what is refused."""

import sys
import weakref

import ml_dtypes
import numpy as np
import pytest
from decode_case import TYPES, Case

import seesaw_mla as sm
from seesaw_mla import _core, _frameworks


def to_torch(array):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_jax(array):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    return jax.numpy.asarray(array)


FRAMEWORKS = {"numpy": lambda array: array, "torch": to_torch, "jax": to_jax}


def to_numpy(array):
    if type(array).__module__ == "torch":
        import torch

        if array.dtype == torch.bfloat16:
            return array.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return np.asarray(array)


def arrays_of(case, convert):
    """The inputs of Case.run as another framework's arrays, without an executor."""
    names = {"q": case.q, "kv_cache": case.cache, "block_table": case.table, "attn_sink": case.sink}
    arrays = {name: convert(array) for name, array in names.items() if array is not None}
    return {"executor": None, **arrays}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_results_are_of_the_querys_framework(rng, framework, dtype):
    case = Case(rng, dtype, has_attn_sink=True, mask=sm.Mask.CAUSAL)
    arrays = arrays_of(case, FRAMEWORKS[framework])
    out, lse = case.run(**arrays)
    assert type(out) is type(lse) is type(arrays["q"])
    assert out.dtype == arrays["q"].dtype and tuple(out.shape) == (4, 2, 4, 64)
    assert str(lse.dtype).endswith("float32") and tuple(lse.shape) == (4, 4, 2)
    case.check(to_numpy(out), to_numpy(lse))


def test_frameworks_may_be_mixed(rng):
    case = Case(rng)
    given = to_torch(np.full(case.shapes["lse"], np.nan, np.float32))
    out, lse = case.run(
        q=to_jax(case.q), block_table=to_torch(case.table), executor=None, lse=given
    )
    assert type(out).__module__.startswith("jax") and type(lse).__module__ == "torch"
    case.check(np.asarray(out), lse.numpy())


def test_arrays_of_no_framework_give_numpy(rng):
    case = Case(rng, sm.DType.BFLOAT16)

    class Exporter:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    out, lse = case.run(q=Exporter(case.q.view(np.uint16)), executor=None)
    assert isinstance(out, np.ndarray) and out.dtype == np.uint16
    case.check(out.view(ml_dtypes.bfloat16), lse)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_prefill(rng, framework):
    convert = FRAMEWORKS[framework]
    case = Case(rng, lengths=(50, 33), s_q=20)
    case.problem.phase = sm.Phase.PREFILL
    plan = sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=[20, 5])
    q = convert(rng.standard_normal((25, 4, 96)).astype(np.float32))
    arrays = (convert(case.cache), convert(case.table))
    results = sm.prefill(plan, q, *arrays)
    assert all(type(result) is type(q) for result in results)
    given = [np.full(result.shape, np.nan, np.float32) for result in results]
    sm.prefill(plan, q, *arrays, out=given[0], lse=given[1], max_logits=given[2])
    for result, same in zip(results, given):
        assert np.array_equal(to_numpy(result), same)


def test_strides_of_torch(rng):
    case = Case(rng)
    q = to_torch(np.ascontiguousarray(case.q.transpose(2, 0, 1, 3))).permute(1, 2, 0, 3)
    pool = to_torch(np.full((len(case.cache), 16, 1, 101), np.nan, np.float32))
    pool[..., 3:99] = to_torch(case.cache)
    out = to_torch(np.full((4, 2, 4, 70), 9.0, np.float32))
    lse = to_torch(np.full((2, 4, 4), np.nan, np.float32)).permute(2, 1, 0)
    results = case.run(
        q=q, kv_cache=pool[..., 3:99], out=out[..., :64], lse=lse, executor=None
    )
    assert results[0].data_ptr() == out.data_ptr() and results[1] is lse
    assert bool((out[..., 64:] == 9.0).all())
    case.check(out[..., :64].numpy(), lse.numpy())


def test_tensors_that_require_gradients(rng):
    case = Case(rng, has_attn_sink=True)
    arrays = arrays_of(case, to_torch)
    torch = sys.modules["torch"]
    arrays["attn_sink"] = torch.nn.Parameter(arrays["attn_sink"])
    arrays["q"].requires_grad_()
    out, lse = case.run(**arrays)
    assert not out.requires_grad and not lse.requires_grad
    case.check(out.numpy(), lse.numpy())


def test_tensors_without_memory_are_refused(rng):
    case = Case(rng)
    arrays = arrays_of(case, to_torch)
    torch = sys.modules["torch"]
    from torch._subclasses.fake_tensor import FakeTensorMode

    q = arrays["q"]
    with FakeTensorMode():
        fake = torch.empty(q.shape)
    with pytest.raises(sm.InvalidArgumentError, match="q.data: is null"):
        case.run(**{**arrays, "q": fake})
    for bad in (q.to("meta"), q[0, 0].to_sparse(), torch.quantize_per_tensor(q, 1, 0, torch.qint8)):
        with pytest.raises((TypeError, sm.InvalidArgumentError), match="q: is|q.dtype: is"):
            case.run(**{**arrays, "q": bad})
    with pytest.raises((TypeError, RuntimeError), match="q: is"):
        torch.func.vmap(lambda one: case.run(**{**arrays, "q": one})[0])(q[None])
    case.check(*map(to_numpy, case.run(**arrays)))


def negated(tensor):
    """The same numbers, of which memory has the negative."""
    torch = sys.modules["torch"]
    pairs = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    assert pairs.is_neg() and torch.equal(pairs.isnan(), tensor.isnan())
    return pairs


def test_torchs_negative_bit(rng):
    case = Case(rng, has_attn_sink=True)
    arrays = arrays_of(case, to_torch)
    lse = negated(to_torch(np.zeros(case.shapes["lse"], np.float32)))
    for name, tensor in (("attn_sink", negated(arrays["attn_sink"])), ("lse", lse)):
        with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is a tensor with the neg"):
            case.run(**{**arrays, name: tensor})
    for name in ("q", "kv_cache"):
        with pytest.raises(sm.InvalidArgumentError, match=name):
            case.run(**{**arrays, name: negated(arrays[name])})
    one = Case(rng, lengths=[7], h_q=1, s_q=1, has_attn_sink=True)
    with pytest.raises(sm.InvalidArgumentError, match="attn_sink: is a tensor with the neg"):
        one.run(attn_sink=negated(to_torch(one.sink)))
    arrays["attn_sink"] = negated(arrays["attn_sink"]).resolve_neg()
    case.check(*map(to_numpy, case.run(**arrays)))


@pytest.mark.parametrize("name", ["out", "lse"])
def test_outputs_that_require_gradients(rng, name):
    case = Case(rng)
    arrays = arrays_of(case, to_torch)
    torch = sys.modules["torch"]
    given = torch.full(case.shapes[name], torch.nan, requires_grad=True)
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is a tensor that requires grad"):
        case.run(**arrays, **{name: given})
    assert bool(given.isnan().all())
    with torch.no_grad():
        case.check(*(to_numpy(result.detach()) for result in case.run(**arrays, **{name: given})))


def test_deleted_arrays_of_jax(rng):
    case = Case(rng)
    q = to_jax(case.q)
    q.delete()
    with pytest.raises(sm.InvalidArgumentError, match="q: is a deleted .*, must be an array with"):
        case.run(q=q, executor=None)


def test_float8_of_another_kind(rng):
    case = Case(rng)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    q = torch.zeros(case.q.shape, dtype=torch.float8_e5m2)
    with pytest.raises(sm.InvalidArgumentError, match="q.dtype: is float8_e5m2, must be"):
        case.run(q=q, executor=None)


def test_subclasses_of_torch_tensors(rng):
    case = Case(rng)
    arrays = arrays_of(case, to_torch)
    torch = sys.modules["torch"]

    class Named(torch.Tensor):
        pass

    out, lse = case.run(**{**arrays, "q": arrays["q"].as_subclass(Named)})
    assert isinstance(out, torch.Tensor)
    case.check(out.numpy(), lse.numpy())


@pytest.mark.parametrize("name", ["out", "lse"])
def test_arrays_of_jax_are_no_outputs(rng, name):
    case = Case(rng)
    given = to_jax(np.full(case.shapes[name], 7.0, np.float32))
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is an immutable .*, must be writ"):
        case.run(executor=None, **{name: given})
    assert bool((given == 7.0).all())


def test_memory_for_results_of_jax_on_a_device(monkeypatch):
    """Here on the CPU, which has no streams."""
    jax = pytest.importorskip("jax", reason="jax is not installed")
    ordered = []
    monkeypatch.setattr(_core, "_order_streams", lambda *order: ordered.append(order))
    like = jax.numpy.zeros(3)
    memory = _frameworks._jax_empty(like, (2, 5), (5, 1), "bfloat16", 0, 0x100)
    results = [_frameworks._jax_result(memory) for _ in range(2)]
    assert results[0].dtype == "bfloat16" and results[0].shape == (2, 5)
    assert results[0].unsafe_buffer_pointer() == results[1].unsafe_buffer_pointer()
    mark = _frameworks._Kept()._mark(like, 0, 0x100)
    assert mark.block_until_ready().is_ready()
    assert ordered == [(1, 0x100, 0)] * 3  # JAX names no stream here: DLPack's default one


@pytest.mark.parametrize("dtype", TYPES)
def test_jaxs_memory_becomes_the_results(rng, monkeypatch, dtype):
    """As results are made on a device: written in memory of JAX's own."""
    jax = pytest.importorskip("jax", reason="jax is not installed")
    made, ordered = [], []

    def device_memory(shape, dtype):
        made.append(_frameworks._jax_empty(jax.numpy.zeros(1), shape, (), dtype, 0, 0x100))
        return made[-1]

    monkeypatch.setattr(_core, "_host_array", device_memory)
    monkeypatch.setattr(_core, "_order_streams", lambda *order: ordered.append(order))
    case = Case(rng, dtype)
    results = case.run(**arrays_of(case, to_jax))
    for memory, result in zip(made, results, strict=True):
        assert memory._array.unsafe_buffer_pointer() == result.unsafe_buffer_pointer()
    assert set(ordered) == {(1, 0x100, 0)}
    case.check(*map(to_numpy, results))


def test_arrays_are_kept_for_jax_until_their_call_is_done(monkeypatch):
    class Mark:
        ready = False

        def is_ready(self):
            return self.ready

    class Array:
        pass

    marks = [Mark(), Mark(), Mark()]
    upcoming = iter(marks)
    kept = _frameworks._Kept()
    monkeypatch.setattr(kept, "_mark", lambda *stream: next(upcoming))

    def add():
        array = Array()
        kept.add((array,), 0, 0x100)
        return weakref.ref(array)

    first, second = add(), add()
    assert first() and second()
    marks[0].ready = True
    third = add()
    assert first() is None and second() and third()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_float8_reaches_the_library(rng, framework):
    case = Case(rng)
    q = np.zeros(case.q.shape, ml_dtypes.float8_e4m3fn)
    if framework == "torch":
        q = to_torch(q.view(np.uint8))
        q = q.view(sys.modules["torch"].float8_e4m3fn)
    elif framework == "jax":
        q = to_jax(q)
    with pytest.raises(sm.InvalidArgumentError, match="q.dtype: is float8_e4m3, must be"):
        case.run(q=q, executor=None)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_lengths(rng, framework):
    case = Case(rng)
    lengths = FRAMEWORKS[framework](case.lengths)
    assert sm.plan(case.problem, sm.probe_cpu(), lengths).kv_lengths == case.lengths.tolist()


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_paged_cache(rng, framework):
    convert = FRAMEWORKS[framework]
    kv_format = sm.KvFormat.BFLOAT16
    tokens = rng.standard_normal((40, 1, 24)).astype(ml_dtypes.bfloat16)
    cache = convert(np.full((4, 16, 1, 24), np.nan, ml_dtypes.bfloat16))
    slots = rng.permutation(64)[:40]
    sm.kv_cache.append(
        convert(np.ascontiguousarray(tokens[..., :16])),
        convert(np.ascontiguousarray(tokens[..., 16:])),
        convert(slots),
        cache,
        kv_format,
    )
    table = convert(np.array([[2, 0]], np.int32))
    rows = to_numpy(cache).reshape(64, 1, 24)
    assert np.array_equal(rows[slots].view(np.uint16), tokens.view(np.uint16))
    got = sm.kv_cache.gather(cache, table, convert(np.array([20], np.int32)), kv_format)
    assert type(got) is type(cache) and tuple(got.shape) == (20, 1, 24)
    want = np.concatenate([rows[32:48], rows[:4]])
    assert np.array_equal(to_numpy(got).view(np.uint16), want.view(np.uint16))
    with pytest.raises(sm.InvalidArgumentError, match="kv_cache: is an immutable"):
        sm.kv_cache.copy_pages([], to_jax(np.zeros((1, 1, 1, 24), np.float32)), kv_format)
