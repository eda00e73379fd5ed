"""Arguments of the functions for torch that are no plain numbers and tensors: taken as such and
never kept, or refused by name."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of what is for torch")

from paged_case import PagedCase  # noqa: E402

import seesaw_mla.torch as st  # noqa: E402
from seesaw_mla import _torch_plans  # noqa: E402
from seesaw_mla.flash_mla import (  # noqa: E402
    FlashMLASchedMeta,
    SchedMetaMismatchError,
    flash_mla_sparse_fwd,
    flash_mla_with_kvcache,
    get_mla_metadata,
    sgl_kernel,
)
from seesaw_mla.flash_mla.metadata import is_filled_by_caller  # noqa: E402

LENGTHS = (130, 0, 7, 64)


@pytest.fixture
def case(rng):
    return PagedCase(rng, LENGTHS, s_q=2)


def drop_in(case, metadata=None, **given):
    names = ("q", "k_cache", "block_table", "cache_seqlens")
    arguments = dict(zip(names, case.arrays(), strict=True)) | {"head_dim_v": case.d_v}
    metadata = metadata or get_mla_metadata()[0]
    return flash_mla_with_kvcache(**{**arguments, "tile_scheduler_metadata": metadata, **given})


def decode(case, **given):
    names = ("q", "kv_cache", "block_table", "cache_seqlens")
    arguments = dict(zip(names, case.arrays(), strict=True)) | {"head_dim_v": case.d_v}
    return st.decode(**{**arguments, **given})


def plan_decode(case, **given):
    fields = {"s_q": case.s_q, "h_q": case.h_q, "h_kv": case.h_kv, "d_qk": case.d_qk}
    fields |= {"head_dim_v": case.d_v, "page_size": case.page_size, "dtype": case.dtype}
    return st.plan_decode(**{"cache_seqlens": case.cache_seqlens, **fields, **given})


@pytest.mark.parametrize("array", [torch.tensor, np.array])
def test_a_scale_that_changes_is_planned_again(case, array):
    scale, metadata = array(0.1), get_mla_metadata()[0]
    case.check(*drop_in(case, metadata, softmax_scale=scale), scale=float(scale))
    scale *= 3
    case.check(*drop_in(case, metadata, softmax_scale=scale), scale=float(scale))


@pytest.mark.parametrize("array", [torch.tensor, np.array])
def test_a_mask_that_changes_is_another(case, array):
    causal, metadata = array(False), get_mla_metadata()[0]
    drop_in(case, metadata, causal=causal)
    causal[...] = True
    with pytest.raises(SchedMetaMismatchError, match="config.causal: is False"):
        drop_in(case, metadata, causal=causal)


@pytest.mark.parametrize("array", [torch.tensor, np.array])
def test_nothing_mutable_is_compared(case, array):
    """What workspaces and metadata keep of a call, that calls after it are compared with."""
    width, scale, causal = array(case.d_v), array(0.1), array(False)
    kept = _torch_plans.shapes_and_rules(*case.arrays()[:2], width, scale, causal, None)
    assert [type(rule) for rule in kept[5:]] == [int, float, bool, bool]
    before = list(kept)
    scale *= 3
    causal[...] = True
    assert list(kept) == before
    assert kept != _torch_plans.shapes_and_rules(*case.arrays()[:2], width, scale, causal, None)


TWO = torch.ones(2)
NUMBERS = [
    ("softmax_scale", 10**400, ValueError),
    ("softmax_scale", 1e300, ValueError),
    ("softmax_scale", TWO, ValueError),
    ("softmax_scale", np.ones(2), ValueError),
    ("softmax_scale", "1", TypeError),
    ("softmax_scale", 1j, TypeError),
    ("causal", TWO, ValueError),
    ("causal", np.ones(2), ValueError),
    ("causal", "no", TypeError),
    ("head_dim_v", 2**63, ValueError),
    ("head_dim_v", "64", TypeError),
    ("head_dim_v", TWO, TypeError),
]


@pytest.mark.parametrize("name, value, exception", NUMBERS)
@pytest.mark.parametrize("function", [drop_in, decode, plan_decode])
def test_rules_that_are_none(case, function, name, value, exception):
    with pytest.raises(exception, match=f"^{name}: is "):
        function(case, **{name: value})


@pytest.mark.parametrize("function", [drop_in, decode])
def test_numbers_of_other_libraries(case, function):
    rules = {"head_dim_v": np.int64(case.d_v), "softmax_scale": np.float32(0.25), "causal": 1}
    case.check(*function(case, **rules), scale=0.25, causal=True)


@pytest.mark.parametrize(
    "field, value, exception, text",
    [
        ("h_q", 0, ValueError, "h_q: is 0, must be"),
        ("h_q", -4, ValueError, "h_q: is -4, must be"),
        ("h_q", "4", TypeError, "h_q: is str, must be an int"),
        ("h_kv", 3, ValueError, "h_q: is 8, must be a multiple of h_kv = 3"),
        ("d_qk", 0, ValueError, "d_qk: is 0, must be"),
        ("d_qk", -1, ValueError, "d_qk: is -1, must be"),
        ("page_size", 0, ValueError, "page_size: is 0, must be"),
        ("s_q", 2**62, ValueError, "s_q: is 4611686018427387904, must be"),
        ("s_q", 1.0, TypeError, "s_q: is float, must be an int"),
        ("dtype", "bf16", TypeError, "dtype: is str, must be a torch.dtype"),
        ("dtype", torch.int8, NotImplementedError, "dtype: is torch.int8, must be"),
        ("kv_dtype", torch.int8, NotImplementedError, "kv_dtype: is torch.int8, must be"),
        ("has_attn_sink", "x", TypeError, "has_attn_sink: is str"),
        ("mode", [], TypeError, "mode: is list, must be one of"),
        ("mode", "best", ValueError, "mode: is 'best', must be one of"),
        ("cache_seqlens", torch.ones(4), ValueError, "cache_seqlens.dtype: is float32"),
        ("cache_seqlens", -torch.ones(4).int(), ValueError, "cache_seqlens[0]: is -1, must be"),
    ],
)
def test_plans_of_nothing(case, field, value, exception, text):
    with pytest.raises(exception) as error:
        plan_decode(case, **{field: value})
    assert str(error.value).startswith(text), error.value


def test_workspaces_of_other_calls(case):
    decode(case, workspace=plan_decode(case))
    with pytest.raises(ValueError, match="^workspace: was planned for "):
        decode(case, workspace=plan_decode(case), causal=True)
    with pytest.raises(TypeError, match="^workspace: is str, must be a torch.Tensor"):
        decode(case, workspace="x")
    with pytest.raises(ValueError, match="^workspace.dtype: is torch.float32, must be uint8"):
        decode(case, workspace=torch.zeros(3))
    with pytest.raises(TypeError, match="^mode: is list"):
        decode(case, workspace=plan_decode(case), mode=[])


@pytest.mark.parametrize("function, cache", [(drop_in, "k_cache"), (decode, "kv_cache")])
@pytest.mark.parametrize("is_planned", [False, True])
def test_tensors_that_are_no_dense_memory(case, function, cache, is_planned):
    given = {}
    if is_planned and function is drop_in:
        given["metadata"] = get_mla_metadata()[0]
        drop_in(case, **given)
    elif is_planned:
        given["workspace"] = plan_decode(case)
    rows = [torch.ones(2, 8, 96), torch.ones(2, 8, 96)]
    nested = torch.nested.as_nested_tensor(rows)
    jagged = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    for name in ("q", cache, "block_table", "cache_seqlens"):
        for bad in (nested, jagged):
            with pytest.raises((ValueError, TypeError), match=f"^{name}: is .*[nN]ested"):
                function(case, **given, **{name: bad})
    with pytest.raises((ValueError, TypeError), match="^q: is .*(sparse|storage)"):
        function(case, **given, q=case.q.to_sparse())


@pytest.mark.parametrize("function, cache", [(drop_in, "k_cache"), (decode, "kv_cache")])
def test_no_dimensions(case, function, cache):
    empty = {"q": case.q[..., :0], cache: case.k_cache[..., :0], "head_dim_v": 0}
    with pytest.raises(ValueError, match=r"^q\.shape\[3\]: is 0, must be"):
        function(case, **empty)


class Like(torch.Tensor):
    """A subclass: torch is to look at what is done with it."""


@pytest.mark.parametrize("function, cache", [(drop_in, "k_cache"), (decode, "kv_cache")])
@pytest.mark.parametrize("index", range(4))
def test_operators_are_taken_for_any_traced_array(case, function, cache, index):
    name = ("q", cache, "block_table", "cache_seqlens")[index]
    want, want_lse = function(case)
    out, lse = function(case, **{name: case.arrays()[index].as_subclass(Like)})
    assert type(out) is Like
    assert torch.equal(out.as_subclass(torch.Tensor), want)
    assert torch.equal(lse.as_subclass(torch.Tensor), want_lse)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(case.arrays()[index])
    with mode:
        out, lse = function(case, **{name: fake})
    assert out.shape == want.shape and isinstance(out, torch._subclasses.FakeTensor)


@pytest.mark.parametrize("function", [drop_in, decode])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jit_trace_is_refused(case, function):
    with pytest.raises(NotImplementedError, match="^q: is traced by torch.jit.trace"):
        torch.jit.trace(lambda q: function(case, q=q)[0], (case.q,))


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_plans_of_inference_mode_serve_outside_of_it(case, backend):
    torch._dynamo.reset()
    compiled = torch.compile(drop_in, backend=backend)
    metadata = get_mla_metadata()[0]
    with torch.inference_mode():
        compiled(case, metadata)
        workspace = plan_decode(case)
    for function in (compiled, drop_in, compiled):
        case.check(*function(case, metadata))
    case.check(*torch.compile(decode, backend=backend)(case, workspace=workspace))


def test_fp8_that_is_not_a_bool(case):
    case.check(*drop_in(case, is_fp8_kvcache=0))
    with pytest.raises(NotImplementedError, match="^is_fp8_kvcache: is True, must be False"):
        drop_in(case, is_fp8_kvcache=1)
    with pytest.raises(ValueError, match="^is_fp8_kvcache: is Tensor, must be a bool"):
        drop_in(case, is_fp8_kvcache=TWO)


@pytest.mark.parametrize(
    "given, exception, text",
    [
        ({"softmax_scale": "x"}, TypeError, "softmax_scale: is str"),
        ({"head_dim_v": "x"}, TypeError, "head_dim_v: is str"),
        ({"head_dim_v": 97}, ValueError, "head_dim_v: is 97, must be <= d_qk"),
        ({"topk_length": [1]}, TypeError, "topk_length: is list"),
        ({"causal": TWO}, ValueError, "causal: is Tensor"),
        ({"k_cache": torch.zeros(9, 16, 1, 95)}, ValueError, "k_cache.shape[3]: is 95"),
    ],
)
def test_bad_sparse_calls(rng, given, exception, text):
    case = PagedCase(rng, (20, 3), dtype=torch.float32)
    with pytest.raises(exception) as error:
        drop_in(case, indices=torch.zeros(2, 1, 4).int(), **given)
    assert str(error.value).startswith(text), error.value


@pytest.mark.parametrize(
    "given, exception, text",
    [
        ({"sm_scale": "x"}, TypeError, "sm_scale: is str"),
        ({"sm_scale": torch.nan}, ValueError, "sm_scale: is nan, must be finite"),
        ({"d_v": "x"}, TypeError, "d_v: is str"),
        ({"d_v": 97}, ValueError, "d_v: is 97, must be <= d_qk = 96"),
        ({"kv": torch.zeros(10, 1, 95)}, ValueError, "kv.shape[2]: is 95"),
        ({"kv": torch.zeros(10, 1, 192)[..., ::2]}, ValueError, "kv.stride[2]: is 2"),
        ({"kv": torch.zeros(10, 1, 96).int()}, NotImplementedError, "kv.dtype: is torch.int32"),
        ({"q": torch.zeros(3, 0, 96)}, ValueError, "q.shape[1]: is 0"),
        ({"q": torch.zeros(3, 4, 192)[..., ::2]}, ValueError, "q.stride[2]: is 2"),
        ({"indices": torch.zeros(3, 1, 0).int()}, ValueError, "indices.shape[2]: is 0"),
        ({"topk_length": torch.zeros(2).int()}, ValueError, "topk_length.shape[0]: is 2"),
        ({"indexer_topk": "x"}, TypeError, "indexer_topk: is str"),
    ],
)
def test_bad_sparse_prefill(given, exception, text):
    good = {"q": torch.zeros(3, 4, 96), "kv": torch.zeros(10, 1, 96)}
    good |= {"indices": torch.zeros(3, 1, 4).int(), "sm_scale": 0.1, "d_v": 64}
    with pytest.raises(exception) as error:
        flash_mla_sparse_fwd(**{**good, **given})
    assert str(error.value).startswith(text), error.value


LENGTHS_2 = torch.tensor([20, 3], dtype=torch.int32)


@pytest.mark.parametrize(
    "arguments, exception, text",
    [
        (([20, 3], 4, 1), TypeError, "cache_seqlens: is list"),
        ((np.array([20, 3]), 4, 1), TypeError, "cache_seqlens: is ndarray"),
        ((LENGTHS_2[0], 4, 1), ValueError, "cache_seqlens.rank: is 0, must be 1"),
        ((LENGTHS_2[None], 4, 1), ValueError, "cache_seqlens.rank: is 2, must be 1"),
        ((LENGTHS_2.long(), 4, 1), ValueError, "cache_seqlens.dtype: is torch.int64"),
        ((LENGTHS_2, "4", 1), TypeError, "num_q_tokens_per_head_k: is str"),
        ((LENGTHS_2, 4, -1), ValueError, "num_heads_k: is -1, must be at least 0"),
        ((LENGTHS_2, 4, 1, None, TWO), ValueError, "is_fp8_kvcache: is Tensor"),
    ],
)
def test_bad_arguments_of_raw_metadata(arguments, exception, text):
    with pytest.raises(exception) as error:
        sgl_kernel.get_mla_metadata(*arguments)
    assert str(error.value).startswith(text), error.value


def test_metadata_filled_with_what_is_none(case):
    name = "^tile_scheduler_metadata.tile_scheduler_metadata"
    with pytest.raises(TypeError, match=f"{name}: is list"):
        drop_in(case, FlashMLASchedMeta(tile_scheduler_metadata=[1, 2]))
    with pytest.raises(ValueError, match=f"{name}.rank: is 0, must be 2"):
        drop_in(case, FlashMLASchedMeta(tile_scheduler_metadata=torch.tensor(1)))


def test_metadata_are_a_dataclass_of_four_fields(case):
    metadata = get_mla_metadata()[0]
    drop_in(case, metadata)
    names = ["have_initialized", "config", "tile_scheduler_metadata", "num_splits"]
    assert [field.name for field in dataclasses.fields(metadata)] == names
    assert list(dataclasses.asdict(metadata)) == names
    assert len(dataclasses.astuple(metadata)) == 4


def pickled(metadata):
    return pickle.loads(pickle.dumps(metadata))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_not_filled_by_the_caller(case, copied):
    metadata = get_mla_metadata()[0]
    drop_in(case, metadata)
    other = copied(metadata)
    assert other._prepared is None and not is_filled_by_caller(other)
    case.check(*drop_in(case, other))
    assert other._prepared is not None  # planned as its own, and kept
    metadata.tile_scheduler_metadata = torch.zeros((1, 8), dtype=torch.int32)
    assert is_filled_by_caller(metadata) and is_filled_by_caller(copied(metadata))
