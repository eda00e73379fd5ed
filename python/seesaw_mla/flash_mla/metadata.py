"""FlashMLASchedMeta: what calls of flash_mla_with_kvcache that share shapes and lengths share."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from .. import InvalidArgumentError, Plan
from .._torch_plans import DecodeProblem, check_tensor, cpu_device, truth

TILE_SCHEDULER_METADATA_SIZE = 8  # int32 numbers in a row of tile_scheduler_metadata
_ROWS_OF_A_TILE = 64


class SchedMetaMismatchError(InvalidArgumentError, AssertionError):
    """A FlashMLASchedMeta was given to a call unlike the one that it was planned for. It is a
    ValueError, as all bad arguments are, and an AssertionError, as FlashMLA raises."""


@dataclasses.dataclass
class Prepared:
    """What a call leaves in a FlashMLASchedMeta for those after it."""

    problem: DecodeProblem
    plan: Plan | None = None  # None where torch.compile planned
    workspace: Tensor | None = None
    lengths: Tensor | None = None  # CPU: a copy, to see whether the caller has changed them
    stream: int = 0  # CUDA: the stream that the workspace was allocated on
    capture: int = 0  # CUDA: the graph capture in which the workspace has its contents; 0: in none
    shapes_and_rules: tuple[Any, ...] = ()  # of the last call: what was checked then holds


@dataclasses.dataclass
class FlashMLASchedMeta:
    """The plan of calls that share shapes and lengths, such as those of a model's layers.

    Made by get_mla_metadata, filled by the first flash_mla_with_kvcache that gets it. The plan lies
    in memory of Seesaw's own; tile_scheduler_metadata and num_splits then have FlashMLA's shapes,
    and zeros. A caller may fill them: their contents are not read, and each such call plans for its
    cache_seqlens. Copies and pickles go without the plan, so that calls with them plan too.
    """

    @dataclasses.dataclass
    class Config:
        """The shapes and rules that calls with one FlashMLASchedMeta share."""

        b: int
        s_q: int
        h_q: int
        page_block_size: int
        h_k: int

        causal: bool
        is_fp8_kvcache: bool
        topk: int | None

        extra_page_block_size: int | None
        extra_topk: int | None

    have_initialized: bool = False
    config: Config | None = None
    tile_scheduler_metadata: Tensor | None = None  # int32 [num_sm_parts, 8]
    num_splits: Tensor | None = None  # int32 [b + 1]

    def __post_init__(self) -> None:
        # No fields: neither can be compared, nor the plan copied.
        self._prepared: Prepared | None = None
        self._left: Tensor | None = None  # tile_scheduler_metadata, where a call has left them

    def __getstate__(self) -> dict[str, Any]:
        # With _left: in a copy, too, they are not the caller's.
        return {**self.__dict__, "_prepared": None}


def get_mla_metadata(*args: Any, **kwargs: Any) -> tuple[FlashMLASchedMeta, None]:
    """An empty FlashMLASchedMeta, and None. Arguments of older versions are taken and ignored."""
    return FlashMLASchedMeta(), None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _num_processors(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).multi_processor_count)
    return cpu_device().num_workers


def num_sm_parts(device: torch.device, num_q_tokens_per_head_k: int, num_heads_k: int) -> int:
    """Rows of tile_scheduler_metadata as FlashMLA counts them: never more than multiprocessors, and
    the same for any lengths and any number of requests."""
    num_tiles = max(num_heads_k, 1) * max(-(-num_q_tokens_per_head_k // _ROWS_OF_A_TILE), 1)
    num_processors: int = _num_processors(device)
    return max(num_processors // num_tiles, 1)


def zero_metadata(device: torch.device, num_parts: int, batch: int) -> tuple[Tensor, Tensor]:
    """tile_scheduler_metadata and num_splits for callers that keep, count or copy them."""
    parts = torch.zeros((num_parts, TILE_SCHEDULER_METADATA_SIZE), dtype=torch.int32, device=device)
    return parts, torch.zeros((batch + 1,), dtype=torch.int32, device=device)


def config_of(
    q: Tensor, k_cache: Tensor, causal: bool, topk: int | None = None
) -> FlashMLASchedMeta.Config:
    """Raises TypeError and InvalidArgumentError for arrays that are no tensors of rank 4."""
    check_tensor("q", q, 4, "[b, s_q, h_q, d_qk]")
    check_tensor("k_cache", k_cache, 4, "[num_pages, page_size, h_kv, d_qk]")
    return FlashMLASchedMeta.Config(
        b=q.shape[0],
        s_q=q.shape[1],
        h_q=q.shape[2],
        page_block_size=k_cache.shape[1],
        h_k=k_cache.shape[2],
        causal=truth("causal", causal),
        is_fp8_kvcache=False,
        topk=topk,
        extra_page_block_size=None,
        extra_topk=None,
    )


def check_metadata(metadata: Any, num_splits: Any, config: FlashMLASchedMeta.Config) -> None:
    """Raises TypeError for what is no metadata, SchedMetaMismatchError for those of other calls."""
    if isinstance(metadata, Tensor):
        return
    if not isinstance(metadata, FlashMLASchedMeta):
        raise TypeError(
            f"tile_scheduler_metadata: is {type(metadata).__name__}, must be a FlashMLASchedMeta "
            "or a tensor of raw metadata"
        )
    if metadata.tile_scheduler_metadata is not None:
        check_tensor(
            "tile_scheduler_metadata.tile_scheduler_metadata",
            metadata.tile_scheduler_metadata,
            2,
            "int32 [num_sm_parts, 8]",
        )
    if num_splits is not None:
        raise InvalidArgumentError("num_splits: is given, must be None with a FlashMLASchedMeta")
    if not metadata.have_initialized or metadata.config is None:
        return
    for field in dataclasses.fields(config):
        planned, given = getattr(metadata.config, field.name), getattr(config, field.name)
        if planned != given:
            raise SchedMetaMismatchError(
                f"tile_scheduler_metadata.config.{field.name}: is {planned}, must be this call's "
                f"{given}: a FlashMLASchedMeta serves calls of the same shapes and rules"
            )


def is_filled_by_caller(metadata: FlashMLASchedMeta) -> bool:
    """Whether there are metadata in it that no call has left."""
    given = metadata.tile_scheduler_metadata
    return given is not None and given is not metadata._left


def mark_initialized(
    metadata: FlashMLASchedMeta, config: FlashMLASchedMeta.Config, device: torch.device
) -> None:
    """Leaves in it what a first call of FlashMLA leaves. What the caller has filled stays."""
    if metadata.tile_scheduler_metadata is None:
        num_q_tokens = config.s_q * config.h_q // max(config.h_k, 1)
        parts = num_sm_parts(device, num_q_tokens, config.h_k)
        metadata._left, num_splits = zero_metadata(device, parts, config.b)
        metadata.tile_scheduler_metadata = metadata._left
        if metadata.num_splits is None:
            metadata.num_splits = num_splits
    metadata.config = config
    metadata.have_initialized = True
