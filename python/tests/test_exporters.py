"""Producers that fail, lie, or change other arguments while they are asked for their memory."""

import array

import numpy as np
import pytest
from decode_case import Case
from hand_made_array import HandMadeArray

import seesaw_mla as sm


@pytest.fixture
def case(rng):
    return Case(rng)


class Exporter:
    """An array's, with code of a program's own before the export."""

    def __init__(self, memory, before=lambda: None):
        self.memory, self.before = memory, before

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        self.before()
        return self.memory.__dlpack__(**options)


# ---- shapes and types that no framework exports ----


@pytest.mark.parametrize("size", [-1, -5, -(2**63)])
def test_negative_workspace(case, size):
    workspace = HandMadeArray((size,), code=1, bits=8)
    match = rf"workspace.shape\[0\]: is {size}, must be >= plan.workspace_bytes$"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        case.run(workspace=workspace)
    with pytest.raises(sm.InvalidArgumentError, match=match):
        sm.prepare(case.plan, workspace=workspace)


@pytest.mark.parametrize("size", [-1, -2, -(2**63), 2**31, 2**63 - 1])
def test_numbers_of_lengths_that_no_batch_has(case, size):
    lengths = HandMadeArray((size,), code=0)
    match = rf"lengths.shape\[0\]: is {size}, must be in \[0, 2147483647\]$"
    with pytest.raises(sm.InvalidArgumentError, match="^kv_" + match):
        sm.plan(case.problem, sm.probe_cpu(), lengths)
    with pytest.raises(sm.InvalidArgumentError, match="^kv_" + match):
        sm.replan(case.plan, lengths)
    with pytest.raises(sm.InvalidArgumentError, match="^q_" + match):
        sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=lengths)


@pytest.mark.parametrize("size", [-1, -(2**63)])
def test_negative_shapes_of_arrays_that_results_are_made_for(rng, size):
    case = Case(rng, lengths=(5, 9), s_q=3)
    case.problem.phase = sm.Phase.PREFILL
    plan = sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=[3, 2])
    q = HandMadeArray((size, case.problem.h_q, case.problem.d_qk))
    with pytest.raises(sm.InvalidArgumentError, match=rf"^q.shape\[0\]: is {size}, must be "):
        sm.prefill(plan, q, case.cache, case.table)
    for shape in ((2, 4, size, 8), (2, 4, 1, size)):
        cache, table, lengths = HandMadeArray(shape), np.zeros((1, 1), np.int32), [0]
        with pytest.raises(sm.InvalidArgumentError, match=rf"^kv_cache.shape\[.\]: is {size}"):
            sm.kv_cache.gather(cache, table, np.asarray(lengths, np.int32), sm.KvFormat.FLOAT32)


def test_types_of_several_lanes_are_told_from_others(case):
    q = HandMadeArray((1, 2, 3, 4), lanes=4)
    with pytest.raises(sm.InvalidArgumentError, match="q.dtype: is float32 of 4 lanes, must be "):
        case.run(q=q)


@pytest.mark.parametrize("name", ["q", "kv_cache", "block_table", "out", "lse"])
def test_the_native_byte_order_is_asked_for(case, name):
    arrays = {"q": case.q, "kv_cache": case.cache, "block_table": case.table}
    given = arrays.get(name, np.zeros(2, np.float32))
    swapped = given.astype(given.dtype.newbyteorder())
    match = rf"{name}.dtype: is [<>][fi]4, must be of the native byte order, (little|big)-endian$"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        case.run(**{name: swapped})


def test_the_native_byte_order_of_lengths(case):
    lengths = case.lengths.astype(case.lengths.dtype.newbyteorder())
    with pytest.raises(sm.InvalidArgumentError, match="kv_lengths.dtype: .* native byte order"):
        sm.plan(case.problem, sm.probe_cpu(), lengths)


# ---- producers that raise ----


def fail_with(error):
    def fail():
        raise error

    return fail


def has_words_and_cause(raised, words, error):
    return words in str(raised.value) and raised.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("boo"), TypeError("boo"), BufferError("boo\nmore")])
def test_an_exporters_own_error_is_the_cause(case, error):
    for name, memory in (("q", case.q), ("out", np.empty(case.shapes["out"], np.float32))):
        with pytest.raises(TypeError, match=f"{name}: is .*Exporter, must be an array") as raised:
            case.run(**{name: Exporter(memory, fail_with(error))})
        assert has_words_and_cause(raised, ": boo", error)
    with pytest.raises(TypeError, match="kv_lengths: is ") as raised:
        sm.plan(case.problem, sm.probe_cpu(), Exporter(case.lengths, fail_with(error)))
    assert has_words_and_cause(raised, ": boo", error)


def test_an_error_without_words_shows_its_type(case):
    with pytest.raises(TypeError, match="or a buffer: RuntimeError$"):
        case.run(q=Exporter(case.q, fail_with(RuntimeError())))


def test_the_cause_of_other_methods(case):
    error = RuntimeError("boo")

    class Nowhere(Exporter):
        def __dlpack_device__(self):
            raise error

    class Number:
        def __index__(self):
            raise error

    with pytest.raises(TypeError, match="q: is .* says where it lies") as raised:
        case.run(q=Nowhere(case.q))
    assert has_words_and_cause(raised, ": boo", error)
    with pytest.raises(TypeError, match=r"kv_lengths\[1\]: is .*, must be an int") as raised:
        sm.plan(case.problem, sm.probe_cpu(), [1, Number()])
    assert has_words_and_cause(raised, ": boo", error)
    with pytest.raises(TypeError, match=r"kv_lengths\[1\]: is 'x', must be an int$") as raised:
        sm.plan(case.problem, sm.probe_cpu(), [1, "x"])
    assert raised.value.__cause__ is None


def raises(self):
    raise RuntimeError("boo")


@pytest.mark.parametrize(
    "members, words",
    [
        ({"dtype": "bfloat16", "view": 5}, "'int' object is not callable"),
        ({"dtype": "bfloat16", "view": lambda self, name: None}, ""),
        ({"dtype": property(raises), "view": 5}, ""),
        ({"dtype": type("Dtype", (), {"__str__": raises})(), "view": 5}, "boo"),
    ],
)
def test_arrays_without_an_export_are_named(case, members, words):
    broken = type("Broken", (), {**members, "__dlpack__": lambda self, **options: 3})()
    with pytest.raises(
        TypeError, match="^q: is .*Broken.*, must be an array that exports"
    ) as error:
        case.run(q=broken)
    assert str(error.value).endswith(words)


# ---- producers that change what a call has taken already ----


def test_an_exporter_that_does_nothing_else(case):
    case.check(*case.run(q=Exporter(case.q), kv_cache=Exporter(case.cache)))


@pytest.fixture
def tensors(case):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    arrays = {
        "q": torch.tensor(case.q),
        "kv_cache": torch.tensor(case.cache),
        "block_table": torch.tensor(case.table),
        "out": torch.empty(case.shapes["out"]),
        "lse": torch.empty(case.shapes["lse"]),
        "workspace": torch.empty(case.plan.workspace_bytes + 64, dtype=torch.uint8),
    }
    begin = -arrays["workspace"].data_ptr() % 64
    arrays["workspace"] = arrays["workspace"][begin : begin + case.plan.workspace_bytes]
    return arrays


CHANGES = {
    "freed": lambda tensor: tensor.untyped_storage().resize_(0),
    "other memory": lambda tensor: tensor.set_(tensor.clone()),
    "other shape": lambda tensor: tensor.resize_(1),
    "other strides": lambda tensor: tensor.t_() if tensor.dim() == 2 else tensor.transpose_(0, 1),
}
ORDER = ["q", "kv_cache", "block_table", "workspace", "out", "lse"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ORDER[:-1])
def test_a_tensor_that_a_later_argument_changes(case, tensors, name, change):
    if change == "other strides" and tensors[name].dim() < 2:
        pytest.skip("of one dimension there is but one order")
    tensor, later = tensors[name], ORDER[ORDER.index(name) + 1]
    arrays = {other: tensors[other].clone().numpy() for other in ORDER}
    arrays[name] = tensor
    arrays[later] = Exporter(arrays[later], lambda: CHANGES[change](tensor))
    match = f"^{name}: is changed by Python code of another argument, must be left as it is"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        case.run(**arrays)


@pytest.mark.parametrize("later", ORDER[1:])
def test_tensors_beside_an_exporter(case, tensors, later):
    tensors[later] = Exporter(tensors[later])
    out, lse = case.run(**tensors)
    case.check(*(getattr(result, "memory", result).numpy() for result in (out, lse)))


def test_a_tensor_that_the_class_of_another_changes(case, tensors):
    torch = pytest.importorskip("torch")

    class Changing(torch.Tensor):
        @property
        def requires_grad(self):
            tensors["out"].untyped_storage().resize_(0)
            return False

    with pytest.raises(sm.InvalidArgumentError, match="^out: is changed by Python code"):
        case.run(**{**tensors, "lse": tensors["lse"].as_subclass(Changing)})


def test_tensors_of_the_cache_that_are_changed():
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def changing(array, tensor):
        return Exporter(array, lambda: tensor.untyped_storage().resize_(0))

    match = ": is changed by Python code"
    latent, cache = torch.ones(1, 1, 8), np.zeros((1, 4, 1, 8), np.float32)
    slots, float32 = np.zeros(1, np.int64), sm.KvFormat.FLOAT32
    with pytest.raises(sm.InvalidArgumentError, match="^latent" + match):
        sm.kv_cache.append(latent, None, slots, changing(cache, latent), float32)
    cache, table, lengths = (
        torch.zeros(1, 4, 1, 8),
        np.zeros((1, 1), np.int32),
        np.ones(1, np.int32),
    )
    with pytest.raises(sm.InvalidArgumentError, match="^kv_cache" + match):
        sm.kv_cache.gather(cache, changing(table, cache), lengths, float32)
    source, target = torch.zeros(1, 4, 1, 8), np.zeros((1, 4, 1, 8), np.float32)
    with pytest.raises(sm.InvalidArgumentError, match="^from_array" + match):
        sm.kv_cache.convert(source, float32, changing(target, source), float32)


def test_buffers_are_arrays(case):
    lengths = array.array("i", case.lengths.tolist())
    assert sm.plan(case.problem, sm.probe_cpu(), lengths).kv_lengths == case.lengths.tolist()
