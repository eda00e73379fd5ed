"""flash_mla_with_kvcache: decode with FlashMLA's arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import InvalidArgumentError, SeesawError, UnsupportedError
from .. import decode as decode_arrays
from .._torch_plans import restated, truth
from ..torch import call_operator, is_traced
from .metadata import FlashMLASchedMeta, SchedMetaMismatchError
from .planning import DenseCall, plan_of_call, traced_plan
from .sparse import NAMES, SparseCall, sparse_decode


def flash_mla_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    block_table: Any,  # Tensor, or None with indices
    cache_seqlens: Any,  # Tensor, or None with indices
    head_dim_v: int,
    tile_scheduler_metadata: FlashMLASchedMeta | Tensor,
    num_splits: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    is_fp8_kvcache: bool = False,
    indices: Tensor | None = None,
    attn_sink: Tensor | None = None,
    extra_k_cache: Tensor | None = None,
    extra_indices_in_kvcache: Tensor | None = None,
    topk_length: Tensor | None = None,
    extra_topk_length: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Decode over a paged latent cache; returns (out, lse).

    q                        [b, s_q, h_q, d_qk], bfloat16 or float16; on the CPU float32 as well
    k_cache                  [num_pages, page_size, h_kv, d_qk] of q's type
    block_table              int32 [b, max_pages]; what lies beyond a request's length is not read
    cache_seqlens            int32 [b]: cached tokens of each request
    head_dim_v               V is the first head_dim_v of K's dimensions
    tile_scheduler_metadata  from get_mla_metadata. A FlashMLASchedMeta is planned by its first call
                             and serves others of the same shapes, rules and lengths. Raw metadata,
                             or ones that the caller filled: planned in each call
    num_splits               of raw metadata, else None
    softmax_scale            None: d_qk ** -0.5
    causal                   query i of s_q sees keys up to s_k - s_q + i
    attn_sink                float32 [h_q], natural log
    out                      [b, s_q, h_q, head_dim_v] of q's type, written and returned

    lse is float32 [b, h_q, s_q], natural log. A query that sees no key gets out = 0 and
    lse = +infinity. On CUDA calls only enqueue on the current stream, and may be captured into a
    graph with or without the planning.

    Raises NotImplementedError for is_fp8_kvcache and the extra_* arguments, and on CUDA for
    indices; SchedMetaMismatchError (a ValueError and an AssertionError) for metadata of other
    calls; ValueError and TypeError, with the argument's name, for what else is wrong.
    """
    if (
        is_fp8_kvcache is not False
        or extra_k_cache is not None
        or extra_indices_in_kvcache is not None
        or extra_topk_length is not None
    ):
        _refuse(is_fp8_kvcache, extra_k_cache, extra_indices_in_kvcache, extra_topk_length)
    if indices is not None:
        if truth("causal", causal):
            raise InvalidArgumentError("causal: is True, must be False with indices")
        sparse_call = SparseCall(
            q, k_cache, head_dim_v, softmax_scale, indices, attn_sink, topk_length, out
        )
        return sparse_decode(sparse_call, tile_scheduler_metadata, num_splits)
    if topk_length is not None:
        raise InvalidArgumentError("topk_length: is given, must be None without indices")
    call = DenseCall(
        q, k_cache, block_table, cache_seqlens, head_dim_v, softmax_scale, causal, attn_sink
    )
    if is_traced(q, k_cache, block_table, cache_seqlens, attn_sink, out):
        planned, problem = traced_plan(call, tile_scheduler_metadata, num_splits)
        return call_operator(call[:4], planned, problem, attn_sink, out, None, "k_cache")
    try:
        work, workspace = plan_of_call(call, tile_scheduler_metadata, num_splits)
        results: tuple[Tensor, Tensor] = decode_arrays(
            work, q, k_cache, block_table, attn_sink=attn_sink, out=out, workspace=workspace
        )
        return results
    except SchedMetaMismatchError:
        raise
    except (SeesawError, TypeError) as error:
        raise restated(error, NAMES) from None


def _refuse(
    is_fp8_kvcache: Any,
    extra_k_cache: Any,
    extra_indices_in_kvcache: Any,
    extra_topk_length: Any,
) -> None:
    missing = "seesaw_mla has no kernel for it yet"
    if truth("is_fp8_kvcache", is_fp8_kvcache):
        raise UnsupportedError(f"is_fp8_kvcache: is True, must be False: {missing}")
    for name, value in (
        ("extra_k_cache", extra_k_cache),
        ("extra_indices_in_kvcache", extra_indices_in_kvcache),
        ("extra_topk_length", extra_topk_length),
    ):
        if value is not None:
            raise UnsupportedError(f"{name}: is given, must be None: {missing}")
