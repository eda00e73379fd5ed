"""seesaw_mla.torch on a device: workspaces, graphs, torch.compile."""

import pytest

torch = pytest.importorskip("torch", reason="tests of what is for torch")

from paged_case import PagedCase  # noqa: E402

import seesaw_mla.torch as st  # noqa: E402
from seesaw_mla.flash_mla import flash_mla_with_kvcache, get_mla_metadata  # noqa: E402

DEEPSEEK = {"h_q": 16, "d_qk": 576, "d_v": 512, "page_size": 64}
LENGTHS = (300, 0, 7, 64)


def make_case(rng, lengths=LENGTHS, **fields):
    return PagedCase(rng, lengths, device="cuda", **{**DEEPSEEK, **fields})


def test_matches_float64(rng):
    case = make_case(rng, s_q=2)
    workspace = st.plan_decode(case.cache_seqlens, s_q=2, h_q=16, causal=True)
    for given in (workspace, workspace, None):
        out, lse = st.decode(*case.arrays(), given, causal=True)
        case.check(out, lse, causal=True)


def test_size_of_a_workspace_is_that_of_its_shapes(rng):
    sizes = {
        st.plan_decode(torch.tensor(lengths, device="cuda", dtype=torch.int32), h_q=16).numel()
        for lengths in ((0, 0), (1, 100_000), (7, 7))
    }
    assert len(sizes) == 1


def test_a_workspace_serves_what_it_was_planned_for(rng):
    case = make_case(rng)
    workspace = st.plan_decode(case.cache_seqlens, h_q=16)
    with pytest.raises(ValueError, match="^workspace: was planned for "):
        st.decode(*case.arrays(), workspace, causal=True)
    with pytest.raises((ValueError, RuntimeError), match="^workspace"):
        st.decode(*case.arrays(), workspace[:64])
    with pytest.raises(ValueError, match="^workspace: is on the CPU"):
        st.decode(*case.arrays(), workspace.cpu())


def test_graph(rng):
    case = make_case(rng, (1,) * 4, capacity=900)
    st.decode(*case.arrays())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        workspace = st.plan_decode(case.cache_seqlens, h_q=16)
        results = [st.decode(*case.arrays(), workspace) for _ in range(2)]
    for lengths in (LENGTHS, (900, 0, 0, 1), (0, 0, 0, 0)):
        case.fill(lengths)
        graph.replay()
        for out, lse in results:
            case.check(out, lse)


def layers(q, kv_cache, block_table, cache_seqlens):
    workspace = st.plan_decode(cache_seqlens, h_q=16)
    first = st.decode(q, kv_cache, block_table, cache_seqlens, workspace)
    return *first, *st.decode(q * 2, kv_cache, block_table, cache_seqlens, workspace)


def drop_in_layers(q, kv_cache, block_table, cache_seqlens):
    metadata, _ = get_mla_metadata()
    first = flash_mla_with_kvcache(q, kv_cache, block_table, cache_seqlens, 512, metadata)
    twice = flash_mla_with_kvcache(q * 2, kv_cache, block_table, cache_seqlens, 512, metadata)
    return *first, *twice


@pytest.mark.parametrize("function", [layers, drop_in_layers])
@pytest.mark.parametrize(
    "options",
    [
        {"backend": "eager"},
        {"backend": "aot_eager"},
        {"backend": "inductor"},
        {"backend": "inductor", "mode": "reduce-overhead"},
        {"backend": "aot_eager", "dynamic": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_compiles_as_a_whole(rng, function, options):
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, **options)
    case = make_case(rng, capacity=900)
    for lengths in (LENGTHS, (900, 0, 0, 1), (0, 0, 0, 0), LENGTHS, (1, 2, 3, 4)):
        case.fill(lengths)
        results = compiled(*case.arrays())
        case.check(*results[:2])
        case.check(*results[2:], q=case.q * 2)


def test_operators_pass_opcheck(rng):
    case = make_case(rng)
    workspace = st.plan_decode(case.cache_seqlens, h_q=16, softmax_scale=0.1)
    arguments = (*case.arrays(), workspace, 512, 0.1, False, None, "throughput")
    torch.library.opcheck(
        torch.ops.seesaw_mla.decode.default,
        arguments,
        # The workspace keeps partial results, which the check of mutations would compare.
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
