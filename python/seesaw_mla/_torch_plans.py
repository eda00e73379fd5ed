"""What the functions for torch share: problems described by tensors, their plans, errors in words
of the arguments."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import (
    AttentionProblem,
    DeviceSpec,
    DType,
    InvalidArgumentError,
    KvFormat,
    Mask,
    Plan,
    ScheduleMode,
    UnsupportedError,
    plan,
    plan_for_device_lengths,
    prepare,
    probe_cpu,
    probe_cuda,
)

_DTYPES = {
    torch.float32: (DType.FLOAT32, KvFormat.FLOAT32),
    torch.bfloat16: (DType.BFLOAT16, KvFormat.BFLOAT16),
    torch.float16: (DType.FLOAT16, KvFormat.FLOAT16),
}
_MODES = {
    "throughput": ScheduleMode.THROUGHPUT,
    "latency": ScheduleMode.LATENCY,
    "batch_invariant": ScheduleMode.BATCH_INVARIANT,
}
_MODE_NAMES = tuple(_MODES)
# Where the library names a field of its problem, the caller's argument that it came from.
_ARGUMENTS = {
    "kv_lengths": "cache_seqlens",
    "problem.batch": "q.shape[0]",
    "problem.s_q": "q.shape[1]",
    "problem.h_q": "q.shape[2]",
    "problem.d_qk": "q.shape[3]",
    "problem.d_v": "head_dim_v",
    "problem.h_kv": "kv_cache.shape[2]",
    "problem.page_size": "kv_cache.shape[1]",
    "problem.q_dtype": "q.dtype",
    "problem.kv_format": "kv_cache.dtype",
    "problem.softmax_scale": "softmax_scale",
}


class DecodeProblem(NamedTuple):
    """What a dense decode asks for. Plans are kept by it, so all of it can be hashed."""

    batch: int
    s_q: int
    h_q: int
    h_kv: int
    d_qk: int
    head_dim_v: int
    page_size: int
    dtype: torch.dtype
    kv_dtype: torch.dtype
    causal: bool
    softmax_scale: float
    has_attn_sink: bool
    mode: str

    def attention_problem(self) -> AttentionProblem:
        dtype, kv_format = attention_types(self.dtype, self.kv_dtype)
        return AttentionProblem(
            batch=self.batch,
            s_q=self.s_q,
            h_q=self.h_q,
            h_kv=self.h_kv,
            d_qk=self.d_qk,
            d_v=self.head_dim_v,
            page_size=self.page_size,
            q_dtype=dtype,
            out_dtype=dtype,
            kv_format=kv_format,
            mask=Mask.CAUSAL if self.causal else Mask.NONE,
            softmax_scale=self.softmax_scale,
            has_attn_sink=self.has_attn_sink,
        )


def restated(error: Exception, names: dict[str, str] | None = None) -> Exception:
    """`error` in words of the caller's arguments instead of the problem's fields. `names` has other
    words for fields, and for arguments."""
    names = names or {}
    fields = {name: word for name, word in names.items() if name.startswith("problem.")}
    text = _replaced(str(error), {**_ARGUMENTS, **fields})
    return type(error)(_replaced(text, names))


def _replaced(text: str, names: dict[str, str]) -> str:
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(rf"\b{re.escape(name)}(?!\w)" for name in longest_first)
    return re.sub(pattern, lambda match: names[match[0]], text)


def check_tensor(name: str, array: Any, rank: int, shape: str) -> None:
    """Raises TypeError and InvalidArgumentError unless `array` is a tensor of that rank."""
    if array is None:
        raise InvalidArgumentError(f"{name}: is not given, must be a torch.Tensor {shape}")
    if not isinstance(array, Tensor):
        raise TypeError(f"{name}: is {type(array).__name__}, must be a torch.Tensor {shape}")
    if array.is_nested or array.layout is not torch.strided:
        kind = "nested" if array.is_nested else str(array.layout)
        raise InvalidArgumentError(f"{name}: is a {kind} tensor, must be a strided one {shape}")
    if array.dim() != rank:
        raise InvalidArgumentError(f"{name}.rank: is {array.dim()}, must be {rank}: {shape}")


# Arguments are turned into plain numbers before anything is kept of them: an array that the caller
# gave for one, and changes, would still be equal to itself.
def whole_number(name: str, value: Any) -> int:
    """`value` as an int; what torch.compile has in its place stays. Raises TypeError, and
    InvalidArgumentError where it needs more than 64 bits."""
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if type(value) is not int:
        try:
            value = operator.index(value)
        except (TypeError, RuntimeError):  # an array of several numbers, or of none that is whole
            raise TypeError(f"{name}: is {type(value).__name__}, must be an int") from None
    if not -(2**63) <= value < 2**63:
        raise InvalidArgumentError(f"{name}: is {value}, must be a number of 64 bits")
    return int(value)


def real_number(name: str, value: Any) -> float:
    """`value` as a float. Raises TypeError for what is no number, and InvalidArgumentError for
    several numbers and for one that is too large."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: is {type(value).__name__}, must be a float")
    try:
        return float(value)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        text = f"{name}: is {type(value).__name__}, must be a float: {error}"
        raise InvalidArgumentError(text) from None


def truth(name: str, value: Any) -> bool:
    """`value` as a bool. Raises TypeError for text, and InvalidArgumentError for several values."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: is {type(value).__name__}, must be a bool")
    try:
        return bool(value)
    except (RuntimeError, TypeError, ValueError) as error:
        text = f"{name}: is {type(value).__name__}, must be a bool: {error}"
        raise InvalidArgumentError(text) from None


def scale_of(softmax_scale: Any, d_qk: int, name: str = "softmax_scale") -> float:
    """The factor of the scores, None standing for d_qk ** -0.5."""
    if softmax_scale is None:
        # There is none without dimensions; the library refuses those by name.
        return d_qk**-0.5 if d_qk > 0 else 1.0
    return real_number(name, softmax_scale)


def attention_types(
    dtype: torch.dtype, kv_dtype: torch.dtype, kv_name: str = "kv_cache"
) -> tuple[DType, KvFormat]:
    """Of q, and of the cache. Raises UnsupportedError."""
    for name, given in (("q", dtype), (kv_name, kv_dtype)):
        if given not in _DTYPES:
            raise UnsupportedError(
                f"{name}.dtype: is {given}, must be float32, bfloat16 or float16: seesaw_mla has "
                "no kernel for others yet"
            )
    return _DTYPES[dtype][0], _DTYPES[kv_dtype][1]


def checked_problem(
    *, head_dim_v: Any, causal: Any, softmax_scale: Any, mode: Any, d_qk: int, **fields: Any
) -> DecodeProblem:
    """A problem of plain numbers, from a caller's. Raises TypeError and InvalidArgumentError for
    rules that are none."""
    if not isinstance(mode, str):
        raise TypeError(f"mode: is {type(mode).__name__}, must be one of {list(_MODE_NAMES)}")
    if mode not in _MODE_NAMES:
        raise InvalidArgumentError(f"mode: is {mode!r}, must be one of {list(_MODE_NAMES)}")
    return DecodeProblem(
        d_qk=d_qk,
        head_dim_v=whole_number("head_dim_v", head_dim_v),
        causal=truth("causal", causal),
        softmax_scale=scale_of(softmax_scale, d_qk),
        mode=mode,
        **fields,
    )


def decode_problem(
    q: Tensor,
    kv_cache: Tensor,
    head_dim_v: int,
    softmax_scale: float | None,
    causal: bool,
    has_attn_sink: bool,
    mode: str,
) -> DecodeProblem:
    """The problem of a call, from its arguments. q and kv_cache have rank 4. Raises as
    checked_problem."""
    batch, s_q, h_q, d_qk = q.shape
    _, page_size, h_kv, _ = kv_cache.shape
    return checked_problem(
        batch=batch,
        s_q=s_q,
        h_q=h_q,
        h_kv=h_kv,
        d_qk=d_qk,
        head_dim_v=head_dim_v,
        page_size=page_size,
        dtype=q.dtype,
        kv_dtype=kv_cache.dtype,
        causal=causal,
        softmax_scale=softmax_scale,
        has_attn_sink=has_attn_sink,
        mode=mode,
    )


def shapes_and_rules(
    q: Tensor,
    kv_cache: Tensor,
    head_dim_v: int,
    softmax_scale: float | None,
    causal: bool,
    attn_sink: Tensor | None,
) -> tuple[Any, ...]:
    """What decode_problem is made of, quicker than it is made, and the device: calls for which this
    is equal have the same problem. Raises as decode_problem for what is no tensor or number."""
    if type(head_dim_v) is not int:
        head_dim_v = whole_number("head_dim_v", head_dim_v)
    if softmax_scale is not None and type(softmax_scale) is not float:
        softmax_scale = real_number("softmax_scale", softmax_scale)
    if type(causal) is not bool:
        causal = truth("causal", causal)
    try:
        return (
            q.shape,
            kv_cache.shape,
            q.dtype,
            kv_cache.dtype,
            q.device,
            head_dim_v,
            softmax_scale,
            causal,
            attn_sink is None,
        )
    except (AttributeError, RuntimeError):  # None, or a nested tensor, which has no shape
        check_tensor("q", q, 4, "[b, s_q, h_q, d_qk]")
        check_tensor("kv_cache", kv_cache, 4, "[num_pages, page_size, h_kv, d_qk]")
        raise


@functools.cache
def cpu_device() -> DeviceSpec:
    return probe_cpu()


@functools.cache
def _cuda_device(ordinal: int) -> DeviceSpec:
    for device in probe_cuda():
        if device.cuda_ordinal == ordinal:
            return device
    raise UnsupportedError(
        f"q.device: is cuda:{ordinal}, which this build of seesaw_mla does not see (is it built "
        "with CUDA? seesaw_mla.is_built_with_cuda())"
    )


@functools.lru_cache(maxsize=4096)
def device_plan(problem: DecodeProblem, ordinal: int) -> Plan:
    """The plan of `problem` for whatever lengths lie on a CUDA device: shapes alone, so that it
    serves any number of workspaces."""
    return plan_for_device_lengths(
        problem.attention_problem(), _cuda_device(ordinal), mode=_MODES[problem.mode]
    )


def host_plan(problem: DecodeProblem, cache_seqlens: Tensor) -> Plan:
    """The plan of `problem` for lengths on the CPU."""
    return plan(
        problem.attention_problem(), cpu_device(), cache_seqlens, mode=_MODES[problem.mode]
    )


def empty_workspace(num_bytes: int, device: torch.device) -> Tensor:
    """Memory that calls in and out of torch.inference_mode may write to."""
    if not torch.is_inference_mode_enabled():
        return torch.empty(num_bytes, dtype=torch.uint8, device=device)
    with torch.inference_mode(False):
        return torch.empty(num_bytes, dtype=torch.uint8, device=device)


def prepared_workspace(
    problem: DecodeProblem, cache_seqlens: Tensor, device: torch.device
) -> Tensor:
    """A workspace on a CUDA device, with `problem` planned for the lengths that lie there: one
    launch on torch's current stream, no wait."""
    if cache_seqlens.device != device:
        raise InvalidArgumentError(
            f"cache_seqlens: is on {cache_seqlens.device}, must be on {device}, as q"
        )
    shape_plan = device_plan(problem, device.index)
    workspace = empty_workspace(shape_plan.workspace_bytes, device)
    prepare(shape_plan, cache_seqlens, workspace=workspace)
    return workspace
