"""Outputs in the memory of inputs or of each other, and memory that is none."""

import numpy as np
import pytest
from decode_case import Case

import seesaw_mla as sm
from seesaw_mla import kv_cache

F32 = sm.KvFormat.FLOAT32


def inside(array, shape, offset):
    """`shape` in the memory of `array`, from its element `offset` on."""
    return array.reshape(-1)[offset : offset + int(np.prod(shape))].reshape(shape)


@pytest.fixture
def case(rng):
    case = Case(rng, has_attn_sink=True)
    case.sink = np.concatenate([case.sink, np.full(10**4, np.nan, np.float32)])[:4]
    return case


OUTPUTS = ["out", "lse"]


@pytest.mark.parametrize("offset", [0, 3, 700])
@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("other", ["q", "kv_cache"])
def test_outputs_in_inputs(case, name, other, offset):
    arrays = {"q": case.q, "kv_cache": case.cache}
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is where {other} is"):
        case.run(**{name: inside(arrays[other], case.shapes[name], offset)})


@pytest.mark.parametrize("name", OUTPUTS)
def test_inputs_in_outputs(case, name):
    memory = np.empty(case.shapes[name], np.float32)
    sink = inside(memory, (4,), 3)
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is where attn_sink is"):
        case.run(attn_sink=sink, **{name: memory})
    table = inside(memory.view(np.int32), (4, 3), 5)
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is where block_table is"):
        case.run(block_table=table, **{name: memory})


def test_outputs_in_each_other_and_in_the_workspace(case):
    out = np.empty(case.shapes["out"], np.float32)
    with pytest.raises(sm.InvalidArgumentError, match="lse: is where out is"):
        case.run(out=out, lse=inside(out, case.shapes["lse"], 40))
    memory = np.zeros(case.plan.workspace_bytes + 2**16, np.uint8)
    aligned = memory[-memory.ctypes.data % 64 :]
    for name, shape in case.shapes.items():
        output = inside(aligned[64 : 64 + 2**14].view(np.float32), shape, 0)
        with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is where workspace is"):
            case.run(workspace=aligned, **{name: output})
    q = inside(aligned[: case.q.nbytes].view(np.float32), case.q.shape, 0)
    with pytest.raises(sm.InvalidArgumentError, match="workspace: is where q is"):
        case.run(q=q, workspace=aligned)


def test_neighbours_in_one_buffer_are_apart(case):
    buffer = np.full(2048 + 32 + case.q.size, np.nan, np.float32)
    q = inside(buffer, case.q.shape, 2048 + 32)
    q[:] = case.q
    wide = np.full((4, 2, 4, 2, 64), np.nan, np.float32)  # out between the rows of another array
    out, lse = (inside(buffer, case.shapes[name], i * 2048) for i, name in enumerate(OUTPUTS))
    case.check(*case.run(q=q, out=out, lse=lse))
    wide_q = np.full((4, 2, 4, 160), np.nan, np.float32)
    wide_q[..., :96] = case.q
    case.check(*case.run(q=wide_q[..., :96], out=wide_q[..., 96:]))
    case.check(*case.run(out=wide[..., 1, :]))


def test_prefill(rng):
    case = Case(rng, lengths=(50, 33), s_q=20)
    case.problem.phase = sm.Phase.PREFILL
    plan = sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=[20, 5])
    q = np.zeros((25, 4, 96), np.float32)
    out = np.zeros((25, 4, 64), np.float32)
    for other, memory in (("q", q), ("out", out)):
        maxima = inside(memory, (25, 4), 8)
        with pytest.raises(sm.InvalidArgumentError, match=f"max_logits: is where {other} is"):
            sm.prefill(plan, q, case.cache, case.table, out=out, max_logits=maxima)


def test_operations_on_the_cache():
    cache = np.zeros((4, 4, 1, 8), np.float32)
    table, lengths = np.zeros((1, 2), np.int32), np.array([5], np.int32)
    with pytest.raises(sm.InvalidArgumentError, match="out: is where kv_cache is"):
        kv_cache.gather(cache, table, lengths, F32, out=inside(cache, (5, 1, 8), 16))
    with pytest.raises(sm.InvalidArgumentError, match="to_array: is where from_array is"):
        kv_cache.convert(cache, F32, cache, F32)
    latent = inside(cache, (2, 1, 8), 0)
    with pytest.raises(sm.InvalidArgumentError, match="kv_cache: is where latent is"):
        kv_cache.append(latent, None, np.array([8, 9]), cache, F32)


def test_arrays_are_named_as_they_are_given():
    cache = np.zeros((4, 4, 1, 8), np.float32)
    page = np.zeros((4, 1, 8), np.float32)
    with pytest.raises(sm.InvalidArgumentError, match=r"^from_array\.rank: is 3"):
        kv_cache.convert(page, F32, cache, F32)
    with pytest.raises(sm.InvalidArgumentError, match=r"^to_array\.rank: is 3"):
        kv_cache.convert(cache, F32, page, F32)
    with pytest.raises(TypeError, match="^from_array: is"):
        kv_cache.convert(3, F32, cache, F32)


@pytest.mark.parametrize("length", [2**31 - 1, -1, 9])
def test_gather_makes_no_memory_for_impossible_lengths(length):
    cache, table = np.zeros((4, 4, 1, 8), np.float32), np.zeros((300, 2), np.int32)
    with pytest.raises(sm.CorruptDataError, match=rf"cache_seqlens\[0\]: is {length}, must be in"):
        kv_cache.gather(cache, table, np.full(300, length, np.int32), F32)




def test_misaligned_lengths(rng):
    case = Case(rng)
    memory = np.zeros(case.lengths.nbytes + 1, np.uint8)
    lengths = memory[1:].view(np.int32)
    with pytest.raises((sm.InvalidArgumentError, TypeError), match="kv_lengths"):
        sm.plan(case.problem, sm.probe_cpu(), lengths)


def test_lengths_without_memory(rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch._subclasses.fake_tensor import FakeTensorMode

    case = Case(rng)
    freed = torch.tensor(case.lengths)
    freed.untyped_storage().resize_(0)
    with FakeTensorMode():
        fake = torch.empty(4, dtype=torch.int32)
    cache, table = torch.zeros(4, 4, 1, 8), torch.zeros(4, 2, dtype=torch.int32)
    for lengths in (freed, fake):
        with pytest.raises(sm.InvalidArgumentError, match="kv_lengths.data: is null, must"):
            sm.plan(case.problem, sm.probe_cpu(), lengths)
        with pytest.raises(sm.InvalidArgumentError, match="cache_seqlens.data: is null, must"):
            kv_cache.gather(cache, table, lengths, F32)
    none = torch.empty(0, dtype=torch.int32)
    assert kv_cache.gather(cache, table[:0], none, F32).shape == (0, 1, 8)


def test_misaligned_lengths_of_torch(rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    case = Case(rng)
    memory = np.zeros(case.lengths.nbytes + 4, np.uint8)
    offset = 1 + -memory.ctypes.data % 4
    lengths = torch.from_numpy(memory[offset : offset + case.lengths.nbytes].view(np.int32))
    match = "kv_lengths.data: is 1 past a multiple of 4 bytes, must be aligned"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        sm.plan(case.problem, sm.probe_cpu(), lengths)
