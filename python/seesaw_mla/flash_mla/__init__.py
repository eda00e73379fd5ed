"""A stand-in for the module flash_mla, version 1.0.0: docs/flash_mla.md.

    import seesaw_mla
    seesaw_mla.install()  # from here on, `import flash_mla` gets this module

or import it as it is: `from seesaw_mla.flash_mla import flash_mla_with_kvcache, get_mla_metadata`.
"""

from . import flash_mla_interface
from .flash_mla_interface import (
    FlashMLASchedMeta,
    SchedMetaMismatchError,
    flash_attn_varlen_func,
    flash_attn_varlen_kvpacked_func,
    flash_attn_varlen_qkvpacked_func,
    flash_mla_sparse_fwd,
    flash_mla_with_kvcache,
    flash_mla_with_kvcache_fp8,
    get_mla_metadata,
    get_mla_metadata_dense_fp8,
)

__version__ = "1.0.0"  # of the flash_mla that this stands in for

__all__ = [
    "FlashMLASchedMeta",
    "SchedMetaMismatchError",
    "flash_attn_varlen_func",
    "flash_attn_varlen_kvpacked_func",
    "flash_attn_varlen_qkvpacked_func",
    "flash_mla_interface",
    "flash_mla_sparse_fwd",
    "flash_mla_with_kvcache",
    "flash_mla_with_kvcache_fp8",
    "get_mla_metadata",
    "get_mla_metadata_dense_fp8",
]
