"""flash_mla's contract on a device: plans made there, reused, captured and replayed."""

import gc
import threading

import pytest

torch = pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

from flash_mla_callers import Sglang, VllmDense  # noqa: E402
from paged_case import PagedCase  # noqa: E402

import seesaw_mla as sm  # noqa: E402
from seesaw_mla import flash_mla  # noqa: E402
from seesaw_mla.flash_mla import (  # noqa: E402
    SchedMetaMismatchError,
    flash_mla_sparse_fwd,
    flash_mla_with_kvcache,
    get_mla_metadata,
    sgl_kernel,
)

SMALL = {}  # PagedCase's own sizes: the portable kernel's
DEEPSEEK = {"h_q": 16, "d_qk": 576, "d_v": 512, "page_size": 64}  # the tuned one's, on Hopper
SIZES = pytest.mark.parametrize("sizes", [SMALL, DEEPSEEK], ids=["small", "deepseek"])
LENGTHS = (300, 0, 7, 64, 129)
SCALE = 0.1352


@pytest.fixture(autouse=True)
def failed_launches_show_in_their_own_test():
    yield
    torch.cuda.synchronize()


def make_case(rng, lengths=LENGTHS, **fields):
    return PagedCase(rng, lengths, device="cuda", **fields)


def run(case, metadata, out=None, **rules):
    return flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata, out=out, **rules)


def captured(call):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call()
    return graph, results


@SIZES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [False, True])
def test_matches_float64(rng, sizes, dtype, causal):
    for s_q, h_kv in ((1, 1), (3, 1), (2, 2)):
        case = make_case(rng, dtype=dtype, s_q=s_q, h_kv=h_kv, **sizes)
        metadata = get_mla_metadata()[0]
        for _ in range(3):
            case.fill(LENGTHS)
            given = case.garbage_out()
            out, lse = run(case, metadata, given, causal=causal)
            assert out is given and lse.is_contiguous() and lse.device == out.device
            case.check(out, lse, causal=causal)


@SIZES
def test_long_requests_are_split(rng, sizes):
    case = make_case(rng, (20_000, 3, 0, 5_000), **sizes)
    case.check(*run(case, get_mla_metadata()[0]))


def test_128_query_tokens(rng):
    case = make_case(rng, (200, 128), s_q=128, **{**DEEPSEEK, "h_q": 2})
    case.check(*run(case, get_mla_metadata()[0], causal=True), causal=True)


@pytest.mark.parametrize("batch, s_q", [(0, 1), (2, 0), (0, 0)])
def test_nothing_to_do(rng, batch, s_q):
    case = make_case(rng, (70, 3)[:batch], s_q=s_q)
    metadata = get_mla_metadata()[0]
    for _ in range(2):
        out, lse = run(case, metadata)
        assert out.shape == (batch, s_q, case.h_q, case.d_v) and lse.shape[0] == batch


def test_first_call_plans_and_others_reuse_it(rng):
    case = make_case(rng)
    metadata = get_mla_metadata()[0]
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(case, metadata)
        workspace = metadata._prepared.workspace
        results = [run(case, metadata) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metadata._prepared.workspace is workspace
    assert metadata.tile_scheduler_metadata.device == case.q.device
    for out, lse in results:
        case.check(out, lse)
    with pytest.raises(SchedMetaMismatchError, match="config.causal"):
        run(case, metadata, causal=True)


def test_results_are_the_same_bits_every_time(rng):
    case = make_case(rng, (5000, 1, 300), **DEEPSEEK)
    metadata = get_mla_metadata()[0]
    first = run(case, metadata)
    for i in range(20):
        again = run(case, metadata if i % 2 else get_mla_metadata()[0])
        assert torch.equal(again[0], first[0]) and torch.equal(again[1], first[1])


def test_batch_invariance(rng):
    case = make_case(rng, (4000, 33, 911, 1), **DEEPSEEK)

    def results_of(requests):
        metadata = get_mla_metadata()[0]
        metadata.tile_scheduler_metadata = torch.zeros(1, 8, dtype=torch.int32, device="cuda")
        q, k_cache, table, lengths = case.arrays()
        arrays = (q[requests], k_cache, table[requests], lengths[requests])
        return flash_mla_with_kvcache(*arrays, case.d_v, metadata)[0]

    together = results_of(slice(0, 4))
    for i in range(4):
        assert torch.equal(results_of(slice(i, i + 1))[0], together[i])


REPLAYS = [LENGTHS, (900, 1, 0, 0, 64), (0, 0, 0, 0, 0), (900,) * 5, (3, 0, 0, 0, 0)]


@SIZES
def test_graph_with_the_planning_inside(rng, sizes):
    case = make_case(rng, (1,) * 5, capacity=900, **sizes)
    run(case, get_mla_metadata()[0])  # loads the kernels
    out = case.garbage_out()

    def step():
        metadata = get_mla_metadata()[0]
        first = run(case, metadata, out)
        return first, run(case, metadata)  # a second layer, with the plan of the first

    graph, (first, second) = captured(step)
    for lengths in REPLAYS:
        case.fill(lengths)
        out.fill_(torch.nan)
        graph.replay()
        case.check(*first)
        case.check(*second)


def test_metadata_planned_before_a_capture_are_planned_again_in_it(rng):
    case = make_case(rng, (1,) * 5, capacity=900)
    metadata = get_mla_metadata()[0]
    run(case, metadata)
    graph, results = captured(lambda: run(case, metadata))
    for lengths in REPLAYS:
        case.fill(lengths)
        graph.replay()
        case.check(*results)
    case.check(*run(case, metadata))  # outside again: the graph's memory is not its plan


def test_metadata_of_one_capture_are_planned_again_in_another(rng):
    case = make_case(rng, (1,) * 5, capacity=900)
    run(case, get_mla_metadata()[0])
    metadata = get_mla_metadata()[0]
    first_graph, _ = captured(lambda: run(case, metadata))
    second_graph, results = captured(lambda: run(case, metadata))
    first_graph.reset()
    del first_graph, metadata
    gc.collect()
    torch.cuda.empty_cache()
    for lengths in REPLAYS:
        case.fill(lengths)
        second_graph.replay()
        case.check(*results)


def test_side_streams(rng):
    """Calls run on the current stream, behind what it has been given before."""
    case = make_case(rng, **DEEPSEEK)
    q = case.q.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(10):
            case.q.fill_(torch.nan)
            torch.cuda._sleep(2_000_000)
            case.q.copy_(q)
            out, lse = run(case, get_mla_metadata()[0])
            case.q.fill_(torch.nan)
    stream.synchronize()
    case.check(out, lse, q=q)


def test_metadata_may_go_while_their_calls_run(rng):
    """Used on another stream than they were planned on, and dropped at once: nobody gets their
    memory before the call is done with it."""
    case = make_case(rng, (20_000, 20_000), **DEEPSEEK)
    stream = torch.cuda.Stream()
    first = None
    for _ in range(10):
        metadata = get_mla_metadata()[0]
        run(case, metadata)
        num_bytes = metadata._prepared.workspace.numel()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(2_000_000)
            out, lse = run(case, metadata)
        del metadata
        torch.full((num_bytes,), 255, dtype=torch.uint8, device="cuda")
        stream.synchronize()
        first = first or (out, lse)
        assert torch.equal(out, first[0]) and torch.equal(lse, first[1])
    case.check(*first)


def test_threads_with_streams_of_their_own(rng):
    cases = [make_case(rng, (2000, 5, 0), **DEEPSEEK) for _ in range(4)]
    torch.cuda.synchronize()
    results = [None] * 4

    def work(i):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(20):
                metadata = get_mla_metadata()[0]
                results[i] = run(cases[i], metadata)
                results[i] = run(cases[i], metadata)
            torch.cuda.current_stream().synchronize()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for case, (out, lse) in zip(cases, results, strict=True):
        case.check(out, lse)


@pytest.mark.parametrize("query_len", [1, 3])
def test_vllm_dense_in_a_graph(rng, query_len):
    case = make_case(rng, (query_len,) * 5, capacity=900, s_q=query_len, **DEEPSEEK)
    caller = VllmDense(flash_mla, case.h_q, case.d_v)

    def layers():
        metadata = caller.build(case.cache_seqlens, query_len)
        arrays = (case.q.view(-1, 16, 576), case.k_cache.squeeze(-2), *case.arrays()[2:])
        return [caller.layer(metadata, *arrays, SCALE) for _ in range(3)]

    layers()
    graph, results = captured(layers)
    for lengths in REPLAYS:
        case.fill(lengths)
        graph.replay()
        for out, lse in results:
            case.check(out, lse, causal=True, scale=SCALE)


def test_vllm_batch_invariant(rng):
    case = make_case(rng, (5000, 64, 1), **DEEPSEEK)
    caller = VllmDense(flash_mla, case.h_q, case.d_v)
    metadata = caller.build(case.cache_seqlens, 1)
    arrays = (case.q.view(-1, 16, 576), case.k_cache.squeeze(-2), *case.arrays()[2:])
    for _ in range(2):
        out, lse = caller.batch_invariant_layer(metadata, *arrays, SCALE)
        case.check(out, lse, causal=True, scale=SCALE)


@pytest.mark.parametrize("num_draft_tokens", [1, 4])
def test_sglang_in_a_graph(rng, num_draft_tokens):
    """Metadata outside of the graph, copied into its buffers; the call plans in the graph."""
    case = make_case(rng, (4,) * 5, capacity=900, s_q=num_draft_tokens, **DEEPSEEK)
    caller = Sglang(sgl_kernel, case.h_q, case.d_v, "cuda", num_draft_tokens)
    processors = torch.cuda.get_device_properties("cuda").multi_processor_count
    caller.make_graph_buffers(max_batch=8, max_parts=processors)
    lengths64 = case.cache_seqlens.long()

    def layer(metadata):
        return caller.layer(
            metadata,
            case.q.view(-1, 16, 576),
            case.k_cache.view(-1, 1, 576),
            case.block_table,
            lengths64,
            SCALE,
            case.page_size,
        )

    metadata = caller.graph_metadata(case.cache_seqlens)
    layer(metadata)
    graph, results = captured(lambda: [layer(metadata) for _ in range(2)])
    for lengths in REPLAYS:
        case.fill(lengths)
        lengths64.copy_(case.cache_seqlens)
        caller.graph_metadata(case.cache_seqlens)
        graph.replay()
        for out, lse in results:
            case.check(out, lse, causal=True, scale=SCALE)


def test_what_lies_elsewhere_is_named(rng):
    case = make_case(rng)
    names = ("q", "k_cache", "block_table", "cache_seqlens")
    for name, array in zip(names, case.arrays(), strict=True):
        arrays = dict(zip(names, case.arrays(), strict=True)) | {name: array.cpu()}
        for metadata in (get_mla_metadata()[0], ready_metadata(case)):
            if metadata.have_initialized and name == "cache_seqlens":
                continue  # the plan has them
            with pytest.raises((sm.SeesawError, TypeError), match="is on|device") as error:
                flash_mla_with_kvcache(
                    **arrays, head_dim_v=case.d_v, tile_scheduler_metadata=metadata
                )
            # q elsewhere: then it is the lengths that do not lie beside it.
            assert str(error.value).startswith((f"{name}: ", "cache_seqlens: "))
    with pytest.raises(ValueError, match="^out: is on the CPU"):
        run(case, get_mla_metadata()[0], case.garbage_out().cpu())


def ready_metadata(case):
    metadata = get_mla_metadata()[0]
    run(case, metadata)
    return metadata


def test_what_devices_do_not_serve_yet(rng):
    case = make_case(rng)
    indices = torch.zeros(5, 1, 64, dtype=torch.int32, device="cuda")
    with pytest.raises(NotImplementedError, match="^indices: is given with q on cuda"):
        run(case, get_mla_metadata()[0], indices=indices)
    with pytest.raises(NotImplementedError, match="^flash_mla_sparse_fwd: is given with q on cuda"):
        flash_mla_sparse_fwd(case.q[:, 0], case.k_cache[:, 0], indices, 0.1)
    floats = make_case(rng, dtype=torch.float32)
    with pytest.raises(NotImplementedError, match="serves bfloat16 and float16"):
        run(floats, get_mla_metadata()[0])
