"""Who is timed: modules with flash_mla's interface, and FlashInfer's MLA wrapper."""

import importlib
import math
from collections.abc import Callable

import torch

import seesaw_mla

from .inputs import Case, pages_of
from .shapes import D_QK, D_V, PAGE_SIZE

SEESAW = "seesaw_mla.flash_mla"

# call(set) -> out [b, s_q, h_q, d_v], lse (natural log) [b, h_q, s_q], over a set of pages
Call = Callable[[int], tuple[torch.Tensor, torch.Tensor]]


class Absent(Exception):
    """Why a contender is not there or cannot run here."""


class FlashMlaModule:
    """A module that has get_mla_metadata and flash_mla_with_kvcache."""

    def __init__(self, name: str) -> None:
        try:
            self.module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            raise Absent(f"cannot import {name}: {error}") from error
        for function in ("get_mla_metadata", "flash_mla_with_kvcache"):
            if not hasattr(self.module, function):
                raise Absent(f"{name} has no {function}")
        self.name = "seesaw" if name == SEESAW else name
        # The stand-in tells the version that it stands for.
        version_of = seesaw_mla if name == SEESAW else self.module
        self.version = str(getattr(version_of, "__version__", "unknown"))

    def prepare(self, case: Case, plan_each_call: bool = False) -> Call:
        """Calls that share one plan, or, with `plan_each_call`, make their own."""

        # Three arguments are what its older versions ask for; newer ones ignore them.
        def make_metadata():
            rows = case.shape.s_q * case.shape.h_q
            return self.module.get_mla_metadata(case.cache_seqlens, rows, 1)

        shared = make_metadata()

        def call(set_idx: int):
            metadata, num_splits = make_metadata() if plan_each_call else shared
            return self.module.flash_mla_with_kvcache(
                case.q,
                case.kv_cache,
                case.block_tables[set_idx % len(case.block_tables)],
                case.cache_seqlens,
                D_V,
                metadata,
                num_splits,
                softmax_scale=case.softmax_scale,
                causal=case.is_causal,
            )

        return call


class FlashInfer:
    """flashinfer.mla.BatchMLAPagedAttentionWrapper: pages as indices in one row, latent and rope
    as two views of the cache, lse to base 2."""

    name = "flashinfer"

    def __init__(self, device: str) -> None:
        if not device.startswith("cuda"):
            raise Absent("flashinfer: runs on CUDA devices only")
        try:
            self.wrapper = importlib.import_module("flashinfer.mla").BatchMLAPagedAttentionWrapper
            flashinfer = importlib.import_module("flashinfer")
        except (ImportError, AttributeError, OSError, RuntimeError) as error:
            raise Absent(f"cannot import flashinfer.mla: {error}") from error
        self.version = str(getattr(flashinfer, "__version__", "unknown"))
        self.workspace = torch.empty(128 << 20, dtype=torch.uint8, device=device)

    def prepare(self, case: Case, plan_each_call: bool = False) -> Call:
        if plan_each_call:
            raise Absent("flashinfer: plans on the host, which a call between events cannot hold")
        # A plan holds its page indices, so each set has a wrapper; calls run one after the other
        # on one stream and may share the workspace of partial results.
        planned = [self._plan(case, table) for table in case.block_tables]
        q_latent, q_rope = case.q.flatten(0, 1).split([D_V, D_QK - D_V], dim=-1)
        latent, rope = case.kv_cache.squeeze(2).split([D_V, D_QK - D_V], dim=-1)

        def call(set_idx: int):
            wrapper = planned[set_idx % len(planned)]
            out, lse = wrapper.run(q_latent, q_rope, latent, rope, return_lse=True)
            return out, lse

        def call_as_others(set_idx: int):
            out, lse = call(set_idx)
            shape = case.shape
            lse = lse.view(shape.batch, shape.s_q, shape.h_q).transpose(1, 2) * math.log(2)
            return out.view(shape.batch, shape.s_q, shape.h_q, D_V), lse

        call.as_others = call_as_others  # type: ignore[attr-defined]
        return call

    def _plan(self, case: Case, table: torch.Tensor):
        shape, device = case.shape, case.q.device
        counts = torch.tensor([0, *pages_of(case.cache_seqlens.tolist())])
        host_table = table.cpu()
        indices = [host_table[row, :count] for row, count in enumerate(counts[1:].tolist())]
        wrapper = self.wrapper(self.workspace, backend="auto")
        wrapper.plan(
            torch.arange(shape.batch + 1, dtype=torch.int32, device=device) * shape.s_q,
            counts.cumsum(0).to(torch.int32).to(device),
            torch.cat(indices).to(device),
            case.cache_seqlens,
            shape.h_q,
            D_V,
            D_QK - D_V,
            PAGE_SIZE,
            case.is_causal,
            case.softmax_scale,
            case.q.dtype,
            case.kv_cache.dtype,
        )
        return wrapper


def results_of(call: Call, set_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the call gives, in flash_mla's shapes and natural log; conversions are not timed."""
    return getattr(call, "as_others", call)(set_idx)
