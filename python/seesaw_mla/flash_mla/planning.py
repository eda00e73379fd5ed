"""When a call of flash_mla_with_kvcache plans, and when it takes the plan of a call before it."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from .. import Plan
from .._torch_plans import (
    DecodeProblem,
    check_tensor,
    decode_problem,
    device_plan,
    host_plan,
    prepared_workspace,
    shapes_and_rules,
)
from .metadata import (
    FlashMLASchedMeta,
    Prepared,
    SchedMetaMismatchError,
    check_metadata,
    config_of,
    is_filled_by_caller,
    mark_initialized,
)

_DEFAULT_STREAM = 0  # CUDA's; it cannot be captured
_NOT_CAPTURING = 0  # CU_STREAM_CAPTURE_STATUS_NONE


class DenseCall(NamedTuple):
    """The arguments of a dense decode."""

    q: Tensor
    k_cache: Tensor
    block_table: Tensor  # None, where the caller gave it, is refused by check()
    cache_seqlens: Tensor
    head_dim_v: int
    softmax_scale: float | None
    causal: bool
    attn_sink: Tensor | None

    def shapes_and_rules(self) -> tuple[Any, ...]:
        q, k_cache, _, _, head_dim_v, softmax_scale, causal, attn_sink = self
        return shapes_and_rules(q, k_cache, head_dim_v, softmax_scale, causal, attn_sink)

    def check(self) -> None:
        """Raises for what could not be described as a problem."""
        check_tensor("block_table", self.block_table, 2, "int32 [b, max_pages]")
        check_tensor("cache_seqlens", self.cache_seqlens, 1, "int32 [b]")

    def problem(self, mode: str) -> DecodeProblem:
        q, k_cache, _, _, head_dim_v, softmax_scale, causal, attn_sink = self
        return decode_problem(
            q, k_cache, head_dim_v, softmax_scale, causal, attn_sink is not None, mode
        )


def plan_of_call(call: DenseCall, metadata: Any, num_splits: Any) -> tuple[Plan, Tensor | None]:
    """The plan of a call and its workspace, made here unless a call before has left them in
    `metadata`. Enqueues on torch's current stream and waits for nothing."""
    if type(metadata) is FlashMLASchedMeta and num_splits is None:
        prepared = _left_by_a_call(metadata)
        if (
            prepared is not None
            and metadata._left is metadata.tile_scheduler_metadata
            and prepared.shapes_and_rules == call.shapes_and_rules()
            and _is_current(prepared, call)
        ):
            assert prepared.plan is not None  # whoever sets shapes_and_rules has planned
            return prepared.plan, prepared.workspace
    config = config_of(call.q, call.k_cache, call.causal)
    check_metadata(metadata, num_splits, config)
    call.check()
    if isinstance(metadata, Tensor):
        return _plan(call, call.problem("throughput"))
    if is_filled_by_caller(metadata):
        planned = _plan(call, call.problem(_mode_of(metadata)))
        mark_initialized(metadata, config, call.q.device)
        return planned
    problem = call.problem("throughput")
    prepared = _left_by_a_call(metadata)
    if prepared is None or prepared.plan is None or prepared.problem != problem:
        prepared = _prepare(call, problem)
    elif not _is_current(prepared, call):
        if prepared.lengths is not None:
            raise SchedMetaMismatchError(
                "cache_seqlens: has changed since tile_scheduler_metadata was planned, must be the "
                "same: take metadata from get_mla_metadata for every step"
            )
        prepared = _prepare(call, problem)
    mark_initialized(metadata, config, call.q.device)
    prepared.shapes_and_rules = call.shapes_and_rules()
    metadata._prepared = prepared
    assert prepared.plan is not None
    return prepared.plan, prepared.workspace


def traced_plan(call: DenseCall, metadata: Any, num_splits: Any) -> tuple[Tensor, DecodeProblem]:
    """The same for operators: the workspace that one has planned, and the problem."""
    config = config_of(call.q, call.k_cache, call.causal)
    check_metadata(metadata, num_splits, config)
    call.check()
    is_own = isinstance(metadata, FlashMLASchedMeta) and not is_filled_by_caller(metadata)
    problem = call.problem("throughput" if is_own else _mode_of(metadata))
    prepared = _left_by_a_call(metadata) if is_own else None
    if prepared is not None and _may_be_written(prepared.workspace):
        # One by one: compared as a whole, torch.compile would fix what is a symbol.
        if all(planned == given for planned, given in zip(prepared.problem, problem, strict=True)):
            return cast(Tensor, prepared.workspace), problem
    workspace = torch.ops.seesaw_mla.plan_decode(call.cache_seqlens, *problem[1:])
    if isinstance(metadata, FlashMLASchedMeta):
        mark_initialized(metadata, config, call.q.device)
        if is_own:
            metadata._prepared = Prepared(problem, workspace=workspace)
    return workspace, problem


def _may_be_written(workspace: Tensor | None) -> bool:
    """Operators may not write to what was made under torch.inference_mode outside of it; a compiler
    cannot look whether it was."""
    if workspace is None or torch.compiler.is_compiling():
        return workspace is not None
    return torch.is_inference_mode_enabled() or not workspace.is_inference()


def _left_by_a_call(metadata: FlashMLASchedMeta) -> Prepared | None:
    """Nothing, once the caller has said that it is not initialized."""
    return metadata._prepared if metadata.have_initialized else None


def _mode_of(metadata: Any) -> str:
    """Metadata of a single part, filled by the caller, are vLLM's way to ask for results that do
    not depend on the batch."""
    if isinstance(metadata, FlashMLASchedMeta):
        parts = metadata.tile_scheduler_metadata
        if parts is not None and parts.shape[0] == 1:
            return "batch_invariant"
    return "throughput"


def _plan(call: DenseCall, problem: DecodeProblem) -> tuple[Plan, Tensor | None]:
    device = call.q.device
    if device.type == "cuda":
        workspace = prepared_workspace(problem, call.cache_seqlens, device)
        return device_plan(problem, device.index), workspace
    return host_plan(problem, call.cache_seqlens), None


def _prepare(call: DenseCall, problem: DecodeProblem) -> Prepared:
    plan, workspace = _plan(call, problem)
    if workspace is None:
        return Prepared(problem, plan, lengths=call.cache_seqlens.clone())
    ordinal = call.q.device.index
    stream = _current_stream(ordinal)
    return Prepared(problem, plan, workspace, stream=stream, capture=_capture_of(stream, ordinal))


def _current_stream(ordinal: int) -> int:
    # torch.cuda.current_stream makes an object of Python's for each call.
    return torch._C._cuda_getCurrentRawStream(ordinal)


def _is_current(prepared: Prepared, call: DenseCall) -> bool:
    """Whether the plan is good for the call's lengths, as far as the host can see, and its memory
    for the stream that the call will run on."""
    if prepared.lengths is not None:
        return _are_equal(prepared.lengths, call.cache_seqlens)
    device = call.q.device
    if prepared.workspace is None or prepared.workspace.device != device:
        return False
    if call.cache_seqlens is None:
        return False
    stream = _current_stream(device.index)
    # In a capture nothing runs: what it plans is there for its own calls, whenever it is replayed,
    # and what was planned before it would be stale in a replay.
    if prepared.capture != _capture_of(stream, device.index):
        return False
    if prepared.stream != stream:
        prepared.workspace.record_stream(torch.cuda.current_stream(device))
    return True


def _are_equal(planned: Tensor, lengths: Any) -> bool:
    return (
        isinstance(lengths, Tensor)
        and lengths.device.type == "cpu"
        and lengths.dtype == planned.dtype
        and not lengths.is_nested
        and torch.equal(planned, lengths)
    )


def _capture_of(stream: int, ordinal: int) -> int:
    """The number of the graph capture that `stream`, the current cudaStream_t of a device, is part
    of; 0 for none. Cheap where there is none."""
    if stream == _DEFAULT_STREAM:
        return 0
    if torch.cuda.current_device() == ordinal and not torch.cuda.is_current_stream_capturing():
        return 0
    status, capture = ctypes.c_int(0), ctypes.c_ulonglong(0)
    error = _driver().cuStreamGetCaptureInfo_v2(
        ctypes.c_void_p(stream), ctypes.byref(status), ctypes.byref(capture), None, None, None
    )
    if error != 0:
        raise RuntimeError(f"cuStreamGetCaptureInfo: failed with {error}")
    return capture.value if status.value != _NOT_CAPTURING else 0


@functools.cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")
