"""Attention over keys named by index: on the CPU, where the library has it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import (
    AttentionProblem,
    InvalidArgumentError,
    Phase,
    SeesawError,
    Sparsity,
    UnsupportedError,
    decode,
    plan,
    prefill,
)
from .._torch_plans import (
    attention_types,
    check_tensor,
    cpu_device,
    restated,
    scale_of,
    whole_number,
)
from ..torch import is_traced
from .metadata import FlashMLASchedMeta, check_metadata, config_of, mark_initialized

# The library's names for arguments of flash_mla.
NAMES = {"kv_cache": "k_cache", "top_k_lengths": "topk_length", "problem.top_k": "indices.shape[2]"}
# And of flash_mla_sparse_fwd, whose q has no batch, and whose kv has no pages.
_PREFILL_NAMES = {
    "problem.batch": "q.shape[0]",
    "problem.h_q": "q.shape[1]",
    "problem.d_qk": "q.shape[2]",
    "problem.h_kv": "kv.shape[1]",
    "problem.kv_format": "kv.dtype",
    "problem.top_k": "indices.shape[2]",
    "kv_cache.shape[2]": "kv.shape[1]",
    "kv_cache.shape[3]": "kv.shape[2]",
    "kv_cache.stride[2]": "kv.stride[1]",
    "kv_cache.stride[3]": "kv.stride[2]",
    "kv_cache": "kv",
    "head_dim_v": "d_v",
    "softmax_scale": "sm_scale",
    "top_k_lengths": "topk_length",
}


def _check_arrays(argument: str, q: Tensor, *arrays: Tensor | None) -> None:
    """Raises UnsupportedError unless they can be read here and now."""
    if not torch.compiler.is_compiling() and is_traced(q, *arrays):
        raise UnsupportedError(
            f"{argument}: is given with tensors that torch traces, must be given with plain ones: "
            "seesaw_mla has no operator for it yet"
        )
    if q.device.type != "cpu":
        raise UnsupportedError(
            f"{argument}: is given with q on {q.device}, must be given on the CPU only: seesaw_mla "
            "has no kernel for it on devices yet"
        )


def _check_optional(attn_sink: Any, topk_length: Any, counts: str) -> None:
    if attn_sink is not None:
        check_tensor("attn_sink", attn_sink, 1, "float32 [h_q]")
    if topk_length is not None:
        check_tensor("topk_length", topk_length, 1, counts)


def _top_k_problem(
    q: Tensor, kv_cache: Tensor, kv_name: str, topk: int, **fields: Any
) -> AttentionProblem:
    """Of q [.., h_q, d_qk] and a cache [num_pages, page_size, h_kv, d_qk]."""
    dtype, kv_format = attention_types(q.dtype, kv_cache.dtype, kv_name)
    return AttentionProblem(
        h_q=q.shape[-2],
        h_kv=kv_cache.shape[2],
        d_qk=q.shape[-1],
        page_size=kv_cache.shape[1],
        q_dtype=dtype,
        out_dtype=dtype,
        kv_format=kv_format,
        sparsity=Sparsity.TOP_K,
        top_k=topk,
        **fields,
    )


def _known(indices: Tensor, num_tokens: int) -> Tensor:
    """`indices` with -1 for every number that FlashMLA takes for no key."""
    return torch.where((indices < 0) | (indices >= num_tokens), -1, indices)


class SparseCall(NamedTuple):
    """The arguments of a decode with indices."""

    q: Tensor
    k_cache: Tensor
    head_dim_v: int
    softmax_scale: float | None
    indices: Tensor
    attn_sink: Tensor | None
    topk_length: Tensor | None
    out: Tensor | None


def sparse_decode(call: SparseCall, metadata: Any, num_splits: Any) -> tuple[Tensor, Tensor]:
    """flash_mla_with_kvcache with indices int32 [b, s_q, topk], on the CPU. lse is a [b, h_q, s_q]
    view of [b, s_q, h_q]. Nothing is left in the metadata but what FlashMLA leaves."""
    q, k_cache, head_dim_v, softmax_scale, indices, attn_sink, topk_length, out = call
    check_tensor("indices", indices, 3, "int32 [b, s_q, topk]")
    _check_optional(attn_sink, topk_length, "int32 [b]")
    if out is not None:
        check_tensor("out", out, 4, "[b, s_q, h_q, head_dim_v]")
    config = config_of(q, k_cache, causal=False, topk=indices.shape[2])
    _check_arrays("indices", q, k_cache, indices, attn_sink, topk_length, out)
    check_metadata(metadata, num_splits, config)
    batch, s_q, h_q, _ = q.shape
    num_tokens = k_cache.shape[0] * k_cache.shape[1]
    try:
        problem = _top_k_problem(
            q,
            k_cache,
            "k_cache",
            indices.shape[2],
            batch=batch,
            s_q=s_q,
            d_v=whole_number("head_dim_v", head_dim_v),
            softmax_scale=scale_of(softmax_scale, q.shape[3]),
            has_attn_sink=attn_sink is not None,
        )
        results: tuple[Tensor, Tensor] = decode(
            plan(problem, cpu_device(), None),
            q,
            k_cache,
            indices=_known(indices, num_tokens),
            top_k_lengths=topk_length,
            attn_sink=attn_sink,
            out=out,
            lse=q.new_empty((batch, s_q, h_q), dtype=torch.float32).transpose(1, 2),
        )
    except (SeesawError, TypeError) as error:
        raise restated(error, NAMES) from None
    if isinstance(metadata, FlashMLASchedMeta):
        mark_initialized(metadata, config, q.device)
    return results


def flash_mla_sparse_fwd(
    q: Tensor,
    kv: Tensor,
    indices: Tensor,
    sm_scale: float,
    d_v: int = 512,
    attn_sink: Tensor | None = None,
    topk_length: Tensor | None = None,
    indexer_topk: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of each query token over the keys that it names, on the CPU; returns
    (out [s_q, h_q, d_v], max_logits and lse float32 [s_q, h_q], natural log).

    q            [s_q, h_q, d_qk]
    kv           [s_kv, 1, d_qk]
    indices      int32 [s_q, 1, topk]; -1 and numbers from s_kv on name no key
    attn_sink    float32 [h_q], natural log
    topk_length  int32 [s_q]: only so many leftmost indices count

    A query that sees no key gets out = 0, lse = +infinity and max_logits = -infinity. Raises
    NotImplementedError on other devices, and for indexer_topk; ValueError.
    """
    if whole_number("indexer_topk", indexer_topk) != 0:
        raise UnsupportedError(
            f"indexer_topk: is {indexer_topk}, must be 0: seesaw_mla has no kernel for it yet"
        )
    check_tensor("q", q, 3, "[s_q, h_q, d_qk]")
    check_tensor("kv", kv, 3, "[s_kv, 1, d_qk]")
    check_tensor("indices", indices, 3, "int32 [s_q, 1, topk]")
    _check_optional(attn_sink, topk_length, "int32 [s_q]")
    _check_arrays("flash_mla_sparse_fwd", q, kv, indices, attn_sink, topk_length)
    for name, array in (("kv", kv), ("indices", indices)):
        if array.shape[1] != 1:
            raise InvalidArgumentError(f"{name}.shape[1]: is {array.shape[1]}, must be 1")
    num_queries = q.shape[0]
    pages = kv.unsqueeze(1)  # of one token each
    try:
        # Each query token is a request of its own, as topk_length counts for each.
        problem = _top_k_problem(
            q,
            pages,
            "kv",
            indices.shape[2],
            phase=Phase.PREFILL,
            batch=num_queries,
            s_q=1,
            d_v=whole_number("d_v", d_v),
            softmax_scale=scale_of(sm_scale, q.shape[2], "sm_scale"),
            has_attn_sink=attn_sink is not None,
        )
        out, lse, max_logits = prefill(
            plan(problem, cpu_device(), None, q_lengths=[1] * num_queries),
            q,
            pages,
            indices=_known(indices.squeeze(1), kv.shape[0]),
            top_k_lengths=topk_length,
            attn_sink=attn_sink,
        )
    except (SeesawError, TypeError) as error:
        raise restated(error, _PREFILL_NAMES) from None
    return out, max_logits, lse
