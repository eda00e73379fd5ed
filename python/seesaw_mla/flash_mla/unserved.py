"""Functions of flash_mla that this version has no kernel for: they say so."""

from __future__ import annotations

from typing import Any, NoReturn

from .. import UnsupportedError


def _refuse(function: str, missing: str) -> NoReturn:
    raise UnsupportedError(f"{function}: is called, but seesaw_mla {missing}")


def flash_attn_varlen_func(*args: Any, **kwargs: Any) -> NoReturn:
    """Attention over keys and values that are not latent. Raises NotImplementedError."""
    _refuse("flash_attn_varlen_func", "computes attention over a latent cache only")


def flash_attn_varlen_kvpacked_func(*args: Any, **kwargs: Any) -> NoReturn:
    """Attention over keys and values that are not latent. Raises NotImplementedError."""
    _refuse("flash_attn_varlen_kvpacked_func", "computes attention over a latent cache only")


def flash_attn_varlen_qkvpacked_func(*args: Any, **kwargs: Any) -> NoReturn:
    """Attention over keys and values that are not latent. Raises NotImplementedError."""
    _refuse("flash_attn_varlen_qkvpacked_func", "computes attention over a latent cache only")


def get_mla_metadata_dense_fp8(*args: Any, **kwargs: Any) -> NoReturn:
    """vLLM's metadata for a cache of e4m3 numbers. Raises NotImplementedError."""
    _refuse("get_mla_metadata_dense_fp8", "has no kernel for a k_cache of float8_e4m3fn")


def flash_mla_with_kvcache_fp8(*args: Any, **kwargs: Any) -> NoReturn:
    """vLLM's decode with q and k_cache of e4m3 numbers, scaled by descale_q and descale_k. Raises
    NotImplementedError."""
    _refuse(
        "flash_mla_with_kvcache_fp8",
        "has no kernel for q and k_cache of float8_e4m3fn with descale_q and descale_k",
    )
