"""Every function of flash_mla.flash_mla_interface, and the two that vLLM adds."""

from __future__ import annotations

from .decode import flash_mla_with_kvcache
from .metadata import FlashMLASchedMeta, SchedMetaMismatchError, get_mla_metadata
from .sparse import flash_mla_sparse_fwd
from .unserved import (
    flash_attn_varlen_func,
    flash_attn_varlen_kvpacked_func,
    flash_attn_varlen_qkvpacked_func,
    flash_mla_with_kvcache_fp8,
    get_mla_metadata_dense_fp8,
)

__all__ = [
    "FlashMLASchedMeta",
    "SchedMetaMismatchError",
    "flash_attn_varlen_func",
    "flash_attn_varlen_kvpacked_func",
    "flash_attn_varlen_qkvpacked_func",
    "flash_mla_sparse_fwd",
    "flash_mla_with_kvcache",
    "flash_mla_with_kvcache_fp8",
    "get_mla_metadata",
    "get_mla_metadata_dense_fp8",
]
