"""flash_mla as SGLang's sgl_kernel has it: metadata may be raw tensors, and two arguments more.

seesaw_mla.install("sglang") registers this module as sgl_kernel.flash_mla.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import InvalidArgumentError, UnsupportedError
from .._torch_plans import check_tensor, truth, whole_number
from . import decode
from .metadata import FlashMLASchedMeta, num_sm_parts, zero_metadata
from .sparse import flash_mla_sparse_fwd

__all__ = [
    "FlashMLASchedMeta",
    "flash_mla_sparse_fwd",
    "flash_mla_with_kvcache",
    "get_mla_metadata",
]

# SGLang's version of the module says here why its extension could not be loaded.
_flashmla_import_error = None


def get_mla_metadata(
    cache_seqlens: Tensor | None = None,
    num_q_tokens_per_head_k: int | None = None,
    num_heads_k: int | None = None,
    num_heads_q: int | None = None,
    is_fp8_kvcache: bool = False,
    topk: int | None = None,
) -> tuple[FlashMLASchedMeta | Tensor, Tensor | None]:
    """Without cache_seqlens (FlashMLASchedMeta(), None); with them, int32 [b], raw metadata,
    (int32 [num_sm_parts, 8], int32 [b + 1]) on their device. None for a number stands for 1.

    Raw metadata are zeros: calls that are given them plan for their own cache_seqlens. num_sm_parts
    depends on neither lengths nor number of requests. Raises NotImplementedError for an fp8 cache
    and for topk, which no kernel here serves; ValueError and TypeError, with the argument's name,
    for what else is wrong.
    """
    if cache_seqlens is None:
        return FlashMLASchedMeta(), None
    if truth("is_fp8_kvcache", is_fp8_kvcache):
        raise UnsupportedError("is_fp8_kvcache: is True, must be False: no kernel for it yet")
    if topk is not None:
        raise UnsupportedError(f"topk: is {topk}, must be None: no kernel for it yet")
    check_tensor("cache_seqlens", cache_seqlens, 1, "int32 [b]")
    if cache_seqlens.dtype != torch.int32:
        raise InvalidArgumentError(f"cache_seqlens.dtype: is {cache_seqlens.dtype}, must be int32")
    counts = {}
    for name, count in (
        ("num_q_tokens_per_head_k", num_q_tokens_per_head_k),
        ("num_heads_k", num_heads_k),
        ("num_heads_q", num_heads_q),
    ):
        counts[name] = 1 if count is None else whole_number(name, count)
        if counts[name] < 0:
            raise InvalidArgumentError(f"{name}: is {count}, must be at least 0")
    parts = num_sm_parts(
        cache_seqlens.device, counts["num_q_tokens_per_head_k"], counts["num_heads_k"]
    )
    return zero_metadata(cache_seqlens.device, parts, cache_seqlens.shape[0])


def flash_mla_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    block_table: Tensor | None,
    cache_seqlens: Tensor | None,
    head_dim_v: int,
    tile_scheduler_metadata: FlashMLASchedMeta | Tensor,
    num_splits: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    descale_q: Tensor | None = None,
    descale_k: Tensor | None = None,
    is_fp8_kvcache: bool = False,
    indices: Tensor | None = None,
    attn_sink: Tensor | None = None,
    extra_k_cache: Tensor | None = None,
    extra_indices_in_kvcache: Tensor | None = None,
    topk_length: Tensor | None = None,
    extra_topk_length: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """flash_mla.flash_mla_with_kvcache with SGLang's order of arguments. descale_q and descale_k,
    for an fp8 cache, raise NotImplementedError."""
    for name, scale in (("descale_q", descale_q), ("descale_k", descale_k)):
        if scale is not None:
            raise UnsupportedError(f"{name}: is given, must be None: no kernel for fp8 yet")
    return decode.flash_mla_with_kvcache(
        q,
        k_cache,
        block_table,
        cache_seqlens,
        head_dim_v,
        tile_scheduler_metadata,
        num_splits,
        softmax_scale,
        causal,
        is_fp8_kvcache,
        indices,
        attn_sink,
        extra_k_cache,
        extra_indices_in_kvcache,
        topk_length,
        extra_topk_length,
    )
