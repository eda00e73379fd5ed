"""What vLLM and SGLang do with flash_mla, done with the stand-in, against float64."""

import inspect

import pytest

torch = pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

from flash_mla_callers import Sglang, VllmDense  # noqa: E402
from paged_case import PagedCase  # noqa: E402

from seesaw_mla import flash_mla  # noqa: E402
from seesaw_mla.flash_mla import sgl_kernel  # noqa: E402

DEEPSEEK = {"h_q": 16, "d_qk": 576, "d_v": 512, "page_size": 64}
SCALE = 0.1352  # not d_qk ** -0.5: models with long contexts scale it


@pytest.mark.parametrize("query_len", [1, 3])
def test_vllm_dense(rng, query_len):
    case = PagedCase(rng, (300, 64, 3, 129), s_q=query_len, **DEEPSEEK)
    caller = VllmDense(flash_mla, case.h_q, case.d_v)
    for step in range(2):
        case.fill([n + step * query_len for n in (300, 64, 3, 129)])
        metadata = caller.build(case.cache_seqlens, query_len)
        for _ in range(3):
            case.fill(case.lengths)
            out, lse = caller.layer(
                metadata,
                case.q.view(-1, case.h_q, case.d_qk),
                case.k_cache.squeeze(-2),
                case.block_table,
                case.cache_seqlens,
                SCALE,
            )
            case.check(out, lse, causal=True, scale=SCALE)


def test_vllm_small_prefill_as_decode(rng):
    case = PagedCase(rng, (128, 200), s_q=128, **{**DEEPSEEK, "h_q": 4})
    caller = VllmDense(flash_mla, case.h_q, case.d_v)
    out, lse = caller.layer(
        caller.build(case.cache_seqlens, 128),
        case.q.view(-1, case.h_q, case.d_qk),
        case.k_cache.squeeze(-2),
        case.block_table,
        case.cache_seqlens,
        SCALE,
    )
    case.check(out, lse, causal=True, scale=SCALE)


def test_vllm_batch_invariant(rng):
    case = PagedCase(rng, (500, 64, 1), **DEEPSEEK)
    caller = VllmDense(flash_mla, case.h_q, case.d_v)
    arrays = (
        case.q.view(-1, case.h_q, case.d_qk),
        case.k_cache.squeeze(-2),
        case.block_table,
        case.cache_seqlens,
    )
    metadata = caller.build(case.cache_seqlens, 1)
    for _ in range(2):
        out, lse = caller.batch_invariant_layer(metadata, *arrays, SCALE)
        case.check(out, lse, causal=True, scale=SCALE)
    alone, _ = caller.batch_invariant_layer(
        caller.build(case.cache_seqlens[:1], 1),
        arrays[0][:1],
        arrays[1],
        arrays[2][:1],
        arrays[3][:1],
        SCALE,
    )
    assert torch.equal(alone[0], out[0])


def sglang_layer(caller, metadata, case):
    return caller.layer(
        metadata,
        case.q.view(-1, case.h_q, case.d_qk),
        case.k_cache.view(-1, 1, case.d_qk),
        case.block_table,
        case.cache_seqlens.long(),  # SGLang keeps lengths as int64
        SCALE,
        case.page_size,
    )


@pytest.mark.parametrize("num_draft_tokens", [1, 4])
def test_sglang_decode_and_target_verify(rng, num_draft_tokens):
    before = (200, 63, 1, 128)
    case = PagedCase(rng, [n + num_draft_tokens for n in before], s_q=num_draft_tokens, **DEEPSEEK)
    caller = Sglang(sgl_kernel, case.h_q, case.d_v, "cpu", num_draft_tokens)
    parts, splits = caller.metadata(case.cache_seqlens)
    assert parts.dtype == splits.dtype == torch.int32
    assert parts.shape[1] == 8 and splits.shape == (5,)
    for _ in range(2):
        case.fill(case.lengths)
        out, lse = sglang_layer(caller, (parts, splits), case)
        case.check(out, lse, causal=True, scale=SCALE)


def test_sglang_graph_buffers(rng):
    """Capture and replays, without the graph: the same call again with the buffers refilled, for
    longer requests, fewer of them and padding."""
    lengths = (1, 1, 1, 1)
    case = PagedCase(rng, lengths, capacity=400, **DEEPSEEK)
    caller = Sglang(sgl_kernel, case.h_q, case.d_v, "cpu")
    caller.make_graph_buffers(max_batch=8, max_parts=256)
    captured = caller.graph_metadata(case.cache_seqlens)
    for lengths in ((1, 1, 1, 1), (400, 3, 64, 1), (70, 0, 0, 0), (2, 300, 1, 1)):
        case.fill(lengths)
        metadata = caller.graph_metadata(case.cache_seqlens)
        assert [m.shape for m in metadata] == [m.shape for m in captured]
        assert [m.data_ptr() for m in metadata] == [m.data_ptr() for m in captured]
        out, lse = sglang_layer(caller, captured, case)
        case.check(out, lse, causal=True, scale=SCALE)


def test_sglang_parts_do_not_depend_on_the_batch():
    caller = Sglang(sgl_kernel, 16, 512, "cpu")
    shapes = {
        caller.metadata(torch.full((batch,), length, dtype=torch.int32))[0].shape
        for batch in (1, 7, 300)
        for length in (0, 1, 100_000)
    }
    assert len(shapes) == 1


def test_sglang_without_arguments_gets_an_object():
    metadata, nothing = sgl_kernel.get_mla_metadata()
    assert isinstance(metadata, flash_mla.FlashMLASchedMeta) and nothing is None


def test_sglang_order_of_arguments():
    ours = list(inspect.signature(flash_mla.flash_mla_with_kvcache).parameters)
    ours.remove("out")
    ours[9:9] = ["descale_q", "descale_k"]
    assert list(inspect.signature(sgl_kernel.flash_mla_with_kvcache).parameters) == ours
    assert list(inspect.signature(sgl_kernel.get_mla_metadata).parameters) == [
        "cache_seqlens",
        "num_q_tokens_per_head_k",
        "num_heads_k",
        "num_heads_q",
        "is_fp8_kvcache",
        "topk",
    ]


@pytest.mark.parametrize("name", ["descale_q", "descale_k"])
def test_sglang_fp8_is_refused_by_name(rng, name):
    case = PagedCase(rng, (5,))
    metadata = sgl_kernel.get_mla_metadata()[0]
    with pytest.raises(NotImplementedError, match=f"^{name}: is given"):
        sgl_kernel.flash_mla_with_kvcache(
            *case.arrays(), case.d_v, metadata, **{name: torch.ones(1)}
        )
    with pytest.raises(NotImplementedError, match="^is_fp8_kvcache: is True"):
        sgl_kernel.get_mla_metadata(case.cache_seqlens, 8, 1, is_fp8_kvcache=True)
    with pytest.raises(NotImplementedError, match="^topk: is 64"):
        sgl_kernel.get_mla_metadata(case.cache_seqlens, 8, 1, topk=64)
