"""seesaw_mla.flash_mla keeps the contract of flash_mla: arguments, metadata, results, errors."""

import copy
import inspect
import pickle

import pytest

torch = pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

from paged_case import PagedCase, to_numpy  # noqa: E402
from reference import attention, check  # noqa: E402

import seesaw_mla as sm  # noqa: E402
from seesaw_mla import flash_mla  # noqa: E402
from seesaw_mla.flash_mla import (  # noqa: E402
    FlashMLASchedMeta,
    SchedMetaMismatchError,
    flash_mla_sparse_fwd,
    flash_mla_with_kvcache,
    get_mla_metadata,
)

LENGTHS = (130, 0, 7, 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("h_kv", [1, 2])
def test_matches_float64(rng, dtype, causal, h_kv):
    case = PagedCase(rng, LENGTHS, dtype=dtype, h_kv=h_kv, s_q=3)
    metadata, nothing = get_mla_metadata()
    assert nothing is None
    out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata, causal=causal)
    assert lse.is_contiguous()
    case.check(out, lse, causal=causal)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cache_narrower_than_the_query(rng, dtype):
    case = PagedCase(rng, LENGTHS, dtype=dtype)
    case.q = case.q.float()
    out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, get_mla_metadata()[0])
    assert out.dtype == torch.float32
    case.check(out.to(dtype), lse)


def test_every_argument_by_position(rng):
    case = PagedCase(rng, LENGTHS, s_q=2)
    sink = torch.randn(case.h_q)
    out, lse = flash_mla_with_kvcache(
        case.q,
        case.k_cache,
        case.block_table,
        case.cache_seqlens,
        case.d_v,
        get_mla_metadata()[0],
        None,  # num_splits
        0.2,  # softmax_scale
        True,  # causal
        False,  # is_fp8_kvcache
        None,  # indices
        sink,  # attn_sink
        None,  # extra_k_cache
        None,  # extra_indices_in_kvcache
        None,  # topk_length
        None,  # extra_topk_length
    )
    case.check(out, lse, causal=True, scale=0.2, sink=sink)


def test_signature_is_flash_mla_s():
    parameters = inspect.signature(flash_mla_with_kvcache).parameters
    assert [(name, p.default) for name, p in parameters.items() if name != "out"] == [
        *((name, inspect.Parameter.empty) for name in (
            "q", "k_cache", "block_table", "cache_seqlens", "head_dim_v", "tile_scheduler_metadata"
        )),
        ("num_splits", None),
        ("softmax_scale", None),
        ("causal", False),
        ("is_fp8_kvcache", False),
        *((name, None) for name in (
            "indices", "attn_sink", "extra_k_cache", "extra_indices_in_kvcache", "topk_length",
            "extra_topk_length",
        )),
    ]
    assert list(inspect.signature(flash_mla_sparse_fwd).parameters)[:7] == [
        "q", "kv", "indices", "sm_scale", "d_v", "attn_sink", "topk_length"
    ]


def test_out_is_written_and_returned(rng):
    case = PagedCase(rng, LENGTHS)
    given = case.garbage_out()
    out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, get_mla_metadata()[0], out=given)
    assert out is given
    case.check(out, lse)


def test_inputs_that_require_gradients(rng):
    case = PagedCase(rng, LENGTHS, dtype=torch.float32)
    q = torch.nn.Parameter(case.q)
    metadata = get_mla_metadata()[0]
    for _ in range(2):
        out, lse = flash_mla_with_kvcache(
            q, case.k_cache.requires_grad_(), *case.arrays()[2:], case.d_v, metadata
        )
        assert not out.requires_grad
        case.check(out, lse)


def test_128_query_tokens(rng):
    case = PagedCase(rng, (200, 128, 5), s_q=128, h_q=2)
    metadata = get_mla_metadata()[0]
    case.check(
        *flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata, causal=True), causal=True
    )


@pytest.mark.parametrize("batch, s_q", [(0, 1), (2, 0), (0, 0)])
def test_nothing_to_do(rng, batch, s_q):
    case = PagedCase(rng, (70, 3)[:batch], s_q=s_q)
    metadata = get_mla_metadata()[0]
    for _ in range(2):
        out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)
        assert out.shape == (batch, s_q, case.h_q, case.d_v)
        assert lse.shape == (batch, case.h_q, s_q)
    assert metadata.have_initialized


def test_life_of_metadata(rng):
    case = PagedCase(rng, LENGTHS, s_q=2, h_kv=2)
    metadata, _ = get_mla_metadata(case.cache_seqlens, 2 * case.h_q, 1, is_fp8_kvcache=False)
    assert isinstance(metadata, FlashMLASchedMeta)
    assert metadata == FlashMLASchedMeta(False, None, None, None)
    case.check(*flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata))
    assert metadata.have_initialized
    assert metadata.config == FlashMLASchedMeta.Config(
        b=4, s_q=2, h_q=8, page_block_size=16, h_k=2, causal=False, is_fp8_kvcache=False, topk=None,
        extra_page_block_size=None, extra_topk=None,
    )  # fmt: skip
    parts, splits = metadata.tile_scheduler_metadata, metadata.num_splits
    assert parts.dtype == splits.dtype == torch.int32
    assert parts.shape[1:] == (8,) and splits.shape == (5,)
    for _ in range(3):  # the next layers: other queries, the same lengths
        case.fill(case.lengths)
        case.check(*flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata))
    assert metadata.tile_scheduler_metadata is parts and metadata.num_splits is splits


def test_layers_may_differ_in_what_metadata_do_not_name(rng):
    case = PagedCase(rng, LENGTHS)
    metadata = get_mla_metadata()[0]
    for scale in (0.1, 0.3, 0.1):
        out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata, softmax_scale=scale)
        case.check(out, lse, scale=scale)
    larger = torch.cat([case.k_cache, torch.full_like(case.k_cache[:5], torch.nan)])
    arrays = (case.q, larger, *case.arrays()[2:])
    case.check(*flash_mla_with_kvcache(*arrays, case.d_v, metadata))
    out, lse = flash_mla_with_kvcache(*case.arrays(), 32, metadata)
    case.d_v = 32
    case.check(out, lse)


@pytest.mark.parametrize(
    "field, change",
    [
        ("b", {"lengths": LENGTHS[:3]}),
        ("s_q", {"s_q": 3}),
        ("h_q", {"h_q": 16}),
        ("page_block_size", {"page_size": 32}),
        ("h_k", {"h_kv": 2}),
        ("causal", {}),
    ],
)
def test_metadata_of_other_calls_are_refused(rng, field, change):
    case = PagedCase(rng, LENGTHS, s_q=2)
    metadata = get_mla_metadata()[0]
    first = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)
    other = PagedCase(rng, change.pop("lengths", LENGTHS), **{"s_q": 2, **change})
    for kind in (ValueError, AssertionError, sm.SeesawError):
        with pytest.raises(kind, match=rf"^tile_scheduler_metadata\.config\.{field}: is "):
            flash_mla_with_kvcache(
                *other.arrays(), other.d_v, metadata, causal=field == "causal"
            )
    again = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)
    assert torch.equal(first[0], again[0])  # the failures have left it as it was


def test_changed_lengths_are_refused(rng):
    case = PagedCase(rng, LENGTHS)
    metadata = get_mla_metadata()[0]
    flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)
    case.cache_seqlens += 1
    with pytest.raises(SchedMetaMismatchError, match="^cache_seqlens: has changed"):
        flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)


@pytest.mark.parametrize("parts", [1, 3])
def test_metadata_filled_by_the_caller(rng, parts):
    case = PagedCase(rng, LENGTHS)
    metadata = get_mla_metadata()[0]
    for step in range(3):  # filled anew for every layer, and lengths may change
        case.fill([n + step for n in LENGTHS])
        rows = torch.full((parts, 8), -7, dtype=torch.int32)
        splits = torch.full((5,), -7, dtype=torch.int32)
        metadata.tile_scheduler_metadata, metadata.num_splits = rows, splits
        case.check(*flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata))
        assert metadata.tile_scheduler_metadata is rows and metadata.num_splits is splits
        assert metadata.have_initialized and metadata.config.b == 4


def test_one_part_filled_by_the_caller_asks_for_batch_invariance(rng):
    case = PagedCase(rng, (900, 33, 411, 1, 700), h_q=4)

    def run(requests):
        metadata = get_mla_metadata()[0]
        metadata.tile_scheduler_metadata = torch.zeros((1, 8), dtype=torch.int32)
        q, k_cache, table, lengths = case.arrays()
        return flash_mla_with_kvcache(
            q[requests], k_cache, table[requests], lengths[requests], case.d_v, metadata
        )[0]

    together = run(slice(0, 5))
    for i in range(5):
        assert torch.equal(run(slice(i, i + 1))[0], together[i])


def test_raw_metadata(rng):
    case = PagedCase(rng, LENGTHS)
    raw = torch.full((3, 8), -1, dtype=torch.int32)
    splits = torch.full((5,), -1, dtype=torch.int32)
    for lengths in (LENGTHS, (1, 2, 3, 4)):
        case.fill(lengths)
        case.check(*flash_mla_with_kvcache(*case.arrays(), case.d_v, raw, splits))


def pickled(metadata):
    return pickle.loads(pickle.dumps(metadata))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copied_metadata(rng, copied):
    case = PagedCase(rng, LENGTHS)
    metadata = get_mla_metadata()[0]
    flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata)
    case.check(*flash_mla_with_kvcache(*case.arrays(), case.d_v, copied(metadata)))


def test_dummy_and_padded_requests(rng):
    case = PagedCase(rng, (0, 0, 65, 0), s_q=2)  # garbage in the rows of the others
    metadata = get_mla_metadata()[0]
    out, lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, metadata, causal=True)
    case.check(out, lse, causal=True)
    assert torch.all(out[0] == 0) and torch.all(torch.isposinf(lse[0]))


def test_large_sinks(rng):
    case = PagedCase(rng, LENGTHS, h_q=4)
    sink = torch.tensor([1e38, -1e38, torch.inf, -torch.inf])
    out, lse = flash_mla_with_kvcache(
        *case.arrays(), case.d_v, get_mla_metadata()[0], attn_sink=sink
    )
    bare, bare_lse = flash_mla_with_kvcache(*case.arrays(), case.d_v, get_mla_metadata()[0])
    assert torch.equal(lse, bare_lse)
    assert torch.all(out[:, :, [0, 2]] == 0)
    assert torch.equal(out[:, :, [1, 3]], bare[:, :, [1, 3]])


def bad(name, value, exception, text):
    return pytest.param(name, value, exception, text, id=f"{name}-{text[:28]}")


@pytest.mark.parametrize(
    "name, value, exception, text",
    [
        bad("q", None, ValueError, "q: is not given"),
        bad("q", torch.zeros(4, 8, 96), ValueError, "q.rank: is 3, must be 4"),
        bad("q", torch.zeros(4, 1, 8, 96).double(), NotImplementedError, "q.dtype: is torch.fl"),
        bad("q", torch.zeros(4, 1, 8, 192)[..., ::2], ValueError, "q.stride[3]: is 2, must be 1"),
        bad("q", torch.zeros(4, 1, 9, 96), ValueError, "q.shape[2]: is 9, must be a multiple"),
        bad("q", torch.zeros(4, 1, 8, 96, device="meta"), Exception, "q"),
        bad("k_cache", [1], TypeError, "k_cache: is list"),
        bad("k_cache", torch.zeros(9, 16, 96), ValueError, "k_cache.rank: is 3, must be 4"),
        bad("k_cache", torch.zeros(9, 16, 2, 64), ValueError, "k_cache.shape[3]: is 64, must be"),
        bad("k_cache", torch.zeros(9, 16, 2, 192)[..., ::2], ValueError, "k_cache.stride[3]: is 2"),
        bad("k_cache", torch.zeros(9, 16, 3, 96), ValueError, "q.shape[2]: is 8, must be a mul"),
        bad(
            "k_cache",
            torch.zeros(9, 16, 2, 96, dtype=torch.uint8),
            NotImplementedError,
            "k_cache.dtype: is torch.uint8",
        ),
        bad("block_table", None, ValueError, "block_table: is not given"),
        bad("block_table", torch.zeros(4, 9).int()[:3], ValueError, "block_table.shape[0]: is 3"),
        bad("block_table", torch.zeros(4, 9), ValueError, "block_table.dtype: is float32"),
        bad("block_table", torch.zeros(4, 1).int(), ValueError, "block_table.shape[1]: is 1"),
        bad("block_table", torch.full((4, 9), 99).int(), ValueError, "block_table[0, 0]: is 99"),
        bad("cache_seqlens", None, ValueError, "cache_seqlens: is not given"),
        bad("cache_seqlens", [1, 2, 3, 4], TypeError, "cache_seqlens: is list"),
        bad("cache_seqlens", torch.zeros(4), ValueError, "cache_seqlens.dtype: is float32"),
        bad("cache_seqlens", torch.zeros(4).long(), ValueError, "cache_seqlens.dtype: is int64"),
        bad("cache_seqlens", torch.zeros(3).int(), ValueError, "cache_seqlens"),
        bad("cache_seqlens", -torch.ones(4).int(), ValueError, "cache_seqlens[0]: is -1, must be"),
        bad("head_dim_v", 97, ValueError, "head_dim_v: is 97, must be <= d_qk = 96"),
        bad("head_dim_v", 0, ValueError, "head_dim_v: is 0, must be"),
        bad("head_dim_v", "512", TypeError, "head_dim_v"),
        bad("tile_scheduler_metadata", None, TypeError, "tile_scheduler_metadata: is NoneType"),
        bad("num_splits", torch.zeros(5).int(), ValueError, "num_splits: is given, must be None"),
        bad("softmax_scale", float("nan"), ValueError, "softmax_scale: is nan, must be finite"),
        bad("softmax_scale", "1", TypeError, "softmax_scale"),
        bad("attn_sink", torch.zeros(7), ValueError, "attn_sink.shape[0]: is 7, must be"),
        bad("out", torch.zeros(4, 1, 8, 64).half(), ValueError, "out.dtype: is float16, must be"),
        bad("out", torch.zeros(4, 1, 8, 63), ValueError, "out.shape[3]: is 63, must be"),
        bad("topk_length", torch.zeros(4).int(), ValueError, "topk_length: is given, must be None"),
        bad("is_fp8_kvcache", True, NotImplementedError, "is_fp8_kvcache: is True, must be False"),
        bad("extra_k_cache", torch.zeros(1), NotImplementedError, "extra_k_cache: is given"),
        bad("extra_indices_in_kvcache", torch.zeros(1), NotImplementedError, "extra_indices_in"),
        bad("extra_topk_length", torch.zeros(1), NotImplementedError, "extra_topk_length: is g"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_bad_arguments(rng, name, value, exception, text, is_first):
    case = PagedCase(rng, LENGTHS, dtype=torch.float32, h_kv=2)
    names = ("q", "k_cache", "block_table", "cache_seqlens")
    arguments = dict(zip(names, case.arrays(), strict=True))
    arguments |= {"head_dim_v": case.d_v, "tile_scheduler_metadata": get_mla_metadata()[0]}
    if not is_first:
        flash_mla_with_kvcache(**arguments)
    with pytest.raises(exception) as error:
        flash_mla_with_kvcache(**{**arguments, name: value})
    is_mismatch = isinstance(error.value, SchedMetaMismatchError)
    assert is_mismatch and not is_first or str(error.value).startswith(text), error.value
    case.check(*flash_mla_with_kvcache(**arguments))


def chosen_keys(case, indices, request, token, count):
    """What the leftmost `count` of indices [b, s_q, topk] name, but for -1."""
    flat = to_numpy(case.k_cache[:, :, 0].reshape(-1, case.d_qk))
    row = [int(i) for i in indices[request, token, :count] if 0 <= i < len(flat)]
    return flat[row].reshape(len(row), case.d_qk)


@pytest.mark.parametrize("has_lengths", [False, True])
def test_indices_on_the_cpu(rng, has_lengths):
    case = PagedCase(rng, (64, 40, 0), s_q=2, dtype=torch.float32)
    topk = 9
    indices = torch.full((3, 2, topk), -1, dtype=torch.int32)
    for i, length in enumerate(case.lengths):
        for s in range(2 if length else 0):
            tokens = rng.choice(length, topk, replace=False)
            pages = case.block_table[i, tokens // 16].numpy()
            indices[i, s] = torch.from_numpy(pages * 16 + tokens % 16)
    indices[0, :, 3] = -1
    counts = torch.tensor([7, 9, 0] if has_lengths else [topk] * 3, dtype=torch.int32)
    for i in range(3):
        indices[i, :, int(counts[i]) :] = 2**31 - 1
    sink = torch.randn(case.h_q)
    metadata = get_mla_metadata()[0]
    out, lse = flash_mla_with_kvcache(
        case.q, case.k_cache, None, None, case.d_v, metadata, indices=indices, attn_sink=sink,
        topk_length=counts if has_lengths else None,
    )  # fmt: skip
    assert metadata.config.topk == topk and lse.transpose(1, 2).is_contiguous()
    for i in range(3):
        for s in range(2):
            keys = chosen_keys(case, indices, i, s, int(counts[i]))
            q, scale = to_numpy(case.q)[i, s : s + 1], case.d_qk**-0.5
            want, want_lse = attention(q, keys, case.d_v, scale, sink=to_numpy(sink))
            check(to_numpy(out)[i, s : s + 1], to_numpy(lse)[i, :, s : s + 1], want, want_lse, q,
                  keys, scale)  # fmt: skip


@pytest.mark.parametrize("has_lengths", [False, True])
def test_sparse_prefill_on_the_cpu(rng, has_lengths):
    num_queries, num_tokens, topk, h_q = 5, 50, 7, 4
    q = torch.randn(num_queries, h_q, 96)
    kv = torch.randn(num_tokens + 1, 1, 96)[:num_tokens]
    indices = torch.randint(0, num_tokens, (num_queries, 1, topk), dtype=torch.int32)
    indices[0] = -1
    indices[1, 0, ::2] = num_tokens + 3
    counts = torch.tensor([3, 7, 0, 1, 5], dtype=torch.int32)
    out, max_logits, lse = flash_mla_sparse_fwd(
        q, kv, indices, 0.1, 64, topk_length=counts if has_lengths else None
    )
    assert out.shape == (num_queries, h_q, 64)
    assert max_logits.shape == lse.shape == (num_queries, h_q)
    for i in range(num_queries):
        row = indices[i, 0, : int(counts[i]) if has_lengths else topk]
        keys = kv[row[(row >= 0) & (row < num_tokens)].long(), 0].numpy()
        rows = q[i : i + 1].numpy()
        want, want_lse = attention(rows, keys, 64, 0.1)
        check(out[i : i + 1].numpy(), lse[i][:, None].numpy(), want, want_lse, rows, keys, 0.1)
        if not len(keys):
            assert torch.all(torch.isneginf(max_logits[i]))
        else:
            largest = (q[i] @ torch.from_numpy(keys).T * 0.1).max(dim=1).values
            torch.testing.assert_close(max_logits[i], largest, rtol=1e-5, atol=1e-5)


def test_causal_with_indices_is_refused(rng):
    case = PagedCase(rng, (20,))
    indices = torch.zeros(1, 1, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="^causal: is True, must be False with indices"):
        flash_mla_with_kvcache(
            *case.arrays(), case.d_v, get_mla_metadata()[0], causal=True, indices=indices
        )


@pytest.mark.parametrize(
    "name",
    [
        "flash_attn_varlen_func",
        "flash_attn_varlen_kvpacked_func",
        "flash_attn_varlen_qkvpacked_func",
        "flash_mla_with_kvcache_fp8",
        "get_mla_metadata_dense_fp8",
    ],
)
def test_what_is_not_served_says_so(name):
    with pytest.raises(NotImplementedError, match=f"^{name}: is called, but seesaw_mla "):
        getattr(flash_mla, name)(torch.zeros(1), causal=True)
