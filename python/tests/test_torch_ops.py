"""seesaw_mla.torch: eager calls, the operators, torch.compile."""

import shutil
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="tests of what is for torch")

from paged_case import PagedCase  # noqa: E402

import seesaw_mla as sm  # noqa: E402
import seesaw_mla.torch as st  # noqa: E402
from seesaw_mla import _torch_plans  # noqa: E402
from seesaw_mla.flash_mla import (  # noqa: E402
    flash_mla_with_kvcache,
    get_mla_metadata,
)

LENGTHS = (130, 0, 7, 64)


def plan_for(case, **rules):
    return st.plan_decode(
        case.cache_seqlens,
        s_q=case.s_q,
        h_q=case.h_q,
        h_kv=case.h_kv,
        d_qk=case.d_qk,
        head_dim_v=case.d_v,
        page_size=case.page_size,
        dtype=case.dtype,
        **rules,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_planned", [False, True])
def test_matches_float64(rng, dtype, is_planned):
    case = PagedCase(rng, LENGTHS, dtype=dtype, s_q=3, h_kv=2)
    workspace = plan_for(case, causal=True) if is_planned else None
    out, lse = st.decode(*case.arrays(), workspace, head_dim_v=case.d_v, causal=True)
    case.check(out, lse, causal=True)


@pytest.mark.parametrize("mode", ["throughput", "latency", "batch_invariant"])
def test_modes_sinks_scales_and_outputs(rng, mode):
    case = PagedCase(rng, LENGTHS)
    sink, out = torch.randn(case.h_q), case.garbage_out()
    lse = torch.full((case.s_q, case.h_q, 4), torch.nan).permute(2, 1, 0)
    given = st.decode(
        *case.arrays(), head_dim_v=case.d_v, softmax_scale=0.3, attn_sink=sink, mode=mode,
        out=out, lse=lse,
    )  # fmt: skip
    assert given[0] is out and given[1] is lse
    case.check(out, lse, scale=0.3, sink=sink)


@pytest.mark.parametrize(
    "arguments, exception, text",
    [
        ({"q": None}, ValueError, "q: is not given"),
        ({"kv_cache": torch.zeros(9, 16, 1, 64)}, ValueError, "kv_cache.shape[3]: is 64"),
        ({"block_table": torch.zeros(4, 9)}, ValueError, "block_table.dtype: is float32"),
        ({"cache_seqlens": torch.ones(4).long()}, ValueError, "cache_seqlens.dtype: is int64"),
        ({"cache_seqlens": [1, 2, 3, 4]}, TypeError, "cache_seqlens: is list"),
        ({"head_dim_v": 97}, ValueError, "head_dim_v: is 97, must be <= d_qk = 96"),
        ({"head_dim_v": 64.0}, TypeError, "head_dim_v: is float, must be an int"),
        ({"softmax_scale": torch.inf}, ValueError, "softmax_scale: is inf, must be finite"),
        ({"mode": "best"}, ValueError, "mode: is 'best', must be one of"),
    ],
)
def test_bad_arguments(rng, arguments, exception, text):
    case = PagedCase(rng, LENGTHS, dtype=torch.float32)
    names = ("q", "kv_cache", "block_table", "cache_seqlens")
    good = dict(zip(names, case.arrays(), strict=True)) | {"head_dim_v": case.d_v}
    with pytest.raises(exception) as error:
        st.decode(**{**good, **arguments})
    assert str(error.value).startswith(text)


def test_bad_plans():
    lengths = torch.ones(4, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"^cache_seqlens.rank: is 2, must be 1"):
        st.plan_decode(lengths[None], h_q=8)
    with pytest.raises(NotImplementedError, match=r"^dtype: is torch.int32"):
        st.plan_decode(lengths, h_q=8, dtype=torch.int32)


def test_a_workspace_keeps_the_plan_of_the_calls_that_it_serves(rng, monkeypatch):
    """On a device, which is left out: the plan is the CPU's, and what would look it up fails."""
    case = PagedCase(rng, LENGTHS)
    names = (*case.arrays()[:2], case.d_v, 0.2, False, None)
    problem = _torch_plans.decode_problem(*names[:5], False, "throughput")
    plan = _torch_plans.host_plan(problem, case.cache_seqlens)
    workspace = torch.empty(plan.workspace_bytes, dtype=torch.uint8)
    asked = (*_torch_plans.shapes_and_rules(*names), "throughput")
    workspace._seesaw_ready = st._Ready(asked, plan)
    monkeypatch.setattr(st, "host_plan", None)
    rules = {"head_dim_v": case.d_v, "softmax_scale": 0.2}
    out, lse = st.decode(*case.arrays(), workspace, **rules)
    case.check(out, lse, scale=0.2)
    others = ({"causal": True}, {"softmax_scale": 0.3}, {"mode": "latency"}, {"head_dim_v": 32})
    for other in others:
        with pytest.raises(TypeError, match="NoneType"):  # looks for a plan of its own
            st.decode(*case.arrays(), workspace, **{**rules, **other})
    with pytest.raises(TypeError, match="^kv_cache: is list"):
        st.decode(case.q, [], *case.arrays()[2:], workspace, **rules)


def operator_arguments(case, causal=True):
    workspace = plan_for(case, causal=causal, softmax_scale=0.1)
    return (*case.arrays(), workspace, case.d_v, 0.1, causal, None, "throughput")


def test_operators_pass_opcheck(rng):
    case = PagedCase(rng, LENGTHS, s_q=2)
    ops = torch.ops.seesaw_mla
    torch.library.opcheck(ops.decode.default, operator_arguments(case))
    out, lse = torch.zeros_like(case.garbage_out()), torch.zeros(4, case.h_q, case.s_q)
    torch.library.opcheck(ops.decode_out.default, (*operator_arguments(case), out, lse))
    problem = _torch_plans.decode_problem(
        case.q, case.k_cache, case.d_v, None, True, False, "throughput"
    )
    torch.library.opcheck(ops.plan_decode.default, (case.cache_seqlens, *problem[1:]))


def test_operator_errors_name_arguments(rng):
    case = PagedCase(rng, LENGTHS)
    arguments = list(operator_arguments(case))
    arguments[4:6] = torch.empty(0, dtype=torch.uint8), 97
    with pytest.raises(ValueError, match="^head_dim_v: is 97"):
        torch.ops.seesaw_mla.decode(*arguments)
    arguments[1], arguments[5] = case.k_cache[..., :80], case.d_v
    with pytest.raises(ValueError, match=r"^kv_cache\.shape\[3\]: is 80"):
        torch.ops.seesaw_mla.decode(*arguments)
    with pytest.raises(ValueError, match=r"^k_cache\.shape\[3\]: is 80"):
        torch.ops.seesaw_mla.decode(*arguments, "k_cache")


class Planned(torch.nn.Module):
    """Two layers with one plan."""

    def forward(self, q, kv_cache, block_table, cache_seqlens):
        workspace = st.plan_decode(
            cache_seqlens, h_q=q.shape[2], d_qk=q.shape[3], head_dim_v=64, page_size=16
        )
        first = st.decode(q, kv_cache, block_table, cache_seqlens, workspace, head_dim_v=64)
        twice = st.decode(q * 2, kv_cache, block_table, cache_seqlens, workspace, head_dim_v=64)
        return *first, *twice


class Unplanned(torch.nn.Module):
    """With memory of the caller's for the result."""

    def forward(self, q, kv_cache, block_table, cache_seqlens):
        results = []
        for factor in (1, 2):
            out = torch.full((*q.shape[:3], 64), torch.nan, dtype=q.dtype)
            results += st.decode(
                q * factor, kv_cache, block_table, cache_seqlens, head_dim_v=64, out=out
            )
        return tuple(results)


class DropIn(torch.nn.Module):
    """Two layers with one FlashMLASchedMeta."""

    def forward(self, q, kv_cache, block_table, cache_seqlens):
        metadata, _ = get_mla_metadata()
        first = flash_mla_with_kvcache(q, kv_cache, block_table, cache_seqlens, 64, metadata)
        twice = flash_mla_with_kvcache(q * 2, kv_cache, block_table, cache_seqlens, 64, metadata)
        return *first, *twice


class RawDropIn(torch.nn.Module):
    """Metadata as SGLang gives them."""

    def forward(self, q, kv_cache, block_table, cache_seqlens):
        raw = torch.zeros(4, 8, dtype=torch.int32), torch.zeros(5, dtype=torch.int32)
        arrays = (kv_cache, block_table, cache_seqlens)
        first = flash_mla_with_kvcache(q, *arrays, 64, *raw)
        return *first, *flash_mla_with_kvcache(q * 2, *arrays, 64, *raw)


def check_layers(case, results):
    case.check(*results[:2])
    case.check(*results[2:], q=case.q * 2)


@pytest.mark.parametrize("module", [Planned, Unplanned, DropIn, RawDropIn])
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiles_as_a_whole(rng, module, backend):
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor compiles C++ for the CPU: no g++ here")
    torch._dynamo.reset()
    case = PagedCase(rng, LENGTHS, capacity=300)
    compiled = torch.compile(module(), fullgraph=True, backend=backend)
    check_layers(case, compiled(*case.arrays()))
    case.fill((300, 1, 0, 17))  # other lengths of the same shapes: nothing of them is compiled in
    check_layers(case, compiled(*case.arrays()))


@pytest.mark.parametrize("module", [Planned, DropIn])
@pytest.mark.parametrize("strict", [False, True])
def test_exports(rng, module, strict):
    case = PagedCase(rng, LENGTHS)
    program = torch.export.export(module(), case.arrays(), strict=strict)
    case.fill((1, 130, 0, 3))
    check_layers(case, program.module()(*case.arrays()))


@pytest.mark.parametrize("module", [Planned, DropIn])
def test_compiles_for_any_batch(rng, module):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(module(), fullgraph=True, backend="aot_eager", dynamic=True)
    for lengths in ((5, 40), LENGTHS, (1, 2, 3, 4, 5, 64, 7)):
        case = PagedCase(rng, lengths)
        check_layers(case, compiled(*case.arrays()))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_metadata_go_through_compiled_and_eager_calls(rng):
    torch._dynamo.reset()
    case = PagedCase(rng, LENGTHS)
    compiled = torch.compile(flash_mla_with_kvcache, fullgraph=True, backend="eager")
    metadata, _ = get_mla_metadata()
    for function in (compiled, flash_mla_with_kvcache, compiled, flash_mla_with_kvcache):
        case.check(*function(*case.arrays(), case.d_v, metadata))
        assert metadata.have_initialized and metadata.config.b == 4
        assert metadata.num_splits.shape == (5,)


def test_fake_tensors(rng):
    from torch._subclasses import FakeTensorMode

    case = PagedCase(rng, LENGTHS, s_q=2)
    with FakeTensorMode() as mode:
        arrays = [mode.from_tensor(array) for array in case.arrays()]
        out, lse = st.decode(*arrays, head_dim_v=case.d_v)
        assert out.shape == (4, 2, case.h_q, case.d_v) and out.dtype == case.dtype
        assert lse.shape == (4, case.h_q, 2) and lse.dtype == torch.float32


@pytest.mark.skipif(not sm.is_built_with_cuda(), reason="needs a build with CUDA, but no device")
def test_fake_tensors_of_a_device(monkeypatch):
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    hopper = sm.DeviceSpec()
    hopper.kind, hopper.num_workers, hopper.sm_arch = sm.DeviceKind.CUDA, 132, 90
    hopper.shared_memory_bytes = 227 << 10
    monkeypatch.setattr(_torch_plans, "_cuda_device", lambda ordinal: hopper)
    _torch_plans.device_plan.cache_clear()

    def decode(batch):
        ints = {"dtype": torch.int32, "device": "cuda"}
        floats = {"dtype": torch.bfloat16, "device": "cuda"}
        lengths = torch.empty(batch, **ints)
        workspace = st.plan_decode(lengths, h_q=16)
        out, lse = st.decode(
            torch.empty(batch, 1, 16, 576, **floats),
            torch.empty(9, 64, 1, 576, **floats),
            torch.empty(batch, 3, **ints),
            lengths,
            workspace,
        )
        return workspace, out, lse

    with FakeTensorMode():
        workspace, out, lse = decode(4)
        assert workspace.device == out.device == lse.device == torch.device("cuda:0")
        problem = (4, 1, 16, 1, 576, 512, 64, torch.bfloat16, torch.bfloat16, False, 576**-0.5)
        plan = _torch_plans.device_plan(
            _torch_plans.DecodeProblem(*problem, False, "throughput"), 0
        )
        assert workspace.numel() == plan.workspace_bytes > 0
    graph = make_fx(lambda like: decode(like.shape[0]), tracing_mode="symbolic")(torch.zeros(5))
    operators = [str(node.target) for node in graph.graph.nodes]
    assert "seesaw_mla.plan_decode.default" in operators
    assert "seesaw_mla.decode.default" in operators
    _torch_plans.device_plan.cache_clear()


def test_imports_torch_only_when_asked():
    program = "import sys, seesaw_mla; print('torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
