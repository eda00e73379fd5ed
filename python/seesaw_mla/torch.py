"""Decode for torch tensors: functions for eager code, and the operators that torch.compile sees.

    import seesaw_mla.torch as st

    workspace = st.plan_decode(cache_seqlens, h_q=16)  # once for all layers of a step
    out, lse = st.decode(q, kv_cache, block_table, cache_seqlens, workspace)

On CUDA the lengths are read where they lie: both calls only enqueue on torch's current stream, wait
for nothing, take their memory from torch, and may be captured into a graph and replayed with other
lengths. On the CPU lengths are read in `decode`, and the workspace is empty.

Under torch.compile (fullgraph=True as well) the same functions go through the operators
seesaw_mla::plan_decode, ::decode and ::decode_out. No gradient is computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.jit import is_tracing  # type: ignore[attr-defined]
from torch.nn import Parameter

from . import InvalidArgumentError, Plan, SeesawError, UnsupportedError
from . import decode as decode_arrays
from ._torch_plans import (
    DecodeProblem,
    check_tensor,
    checked_problem,
    decode_problem,
    device_plan,
    empty_workspace,
    host_plan,
    prepared_workspace,
    restated,
    shapes_and_rules,
    truth,
    whole_number,
)

__all__ = ["decode", "plan_decode"]


def is_traced(*arrays: Any) -> bool:
    """Whether torch looks on, as compilers, fake tensors and dispatch modes do, or an array is no
    plain tensor: then the operators must be called, not what is under them.

    Raises UnsupportedError under torch.jit.trace, which sees shapes as tensors.
    """
    if is_compiling():
        return True
    if is_tracing():  # type: ignore[no-untyped-call]
        raise UnsupportedError(
            "q: is traced by torch.jit.trace, must not be: use torch.compile or torch.export"
        )
    for array in arrays:
        if array is not None and type(array) is not Tensor and type(array) is not Parameter:
            return True
    return torch._C._len_torch_dispatch_stack() > 0  # public torch does not tell


def plan_decode(
    cache_seqlens: Tensor,
    *,
    s_q: int = 1,
    h_q: int,
    h_kv: int = 1,
    d_qk: int = 576,
    head_dim_v: int = 512,
    page_size: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    kv_dtype: torch.dtype | None = None,
    causal: bool = False,
    softmax_scale: float | None = None,
    has_attn_sink: bool = False,
    mode: str = "throughput",
) -> Tensor:
    """Divides the work of `decode` calls that share these shapes, rules and lengths.

    cache_seqlens  int32 [b]: cached tokens of each request; negative ones count as 0 on CUDA
    kv_dtype       of the cache; None: `dtype`, q's
    softmax_scale  None: d_qk ** -0.5
    mode           "throughput", "latency" or "batch_invariant" (docs/scheduling.md)

    Returns the workspace, uint8, of a size that does not depend on the lengths. On CUDA this is one
    launch on the current stream. Calls that share a workspace run in turn, on one stream or
    ordered otherwise. On the CPU the workspace is empty: the arguments are checked, and `decode`
    plans.

    Raises InvalidArgumentError, UnsupportedError, TypeError.
    """
    traced = is_traced(cache_seqlens)
    check_tensor("cache_seqlens", cache_seqlens, 1, "int32 [b]")
    kv_dtype = dtype if kv_dtype is None else kv_dtype
    for name, given in (("dtype", dtype), ("kv_dtype", kv_dtype)):
        if not isinstance(given, torch.dtype):
            raise TypeError(f"{name}: is {type(given).__name__}, must be a torch.dtype")
    problem = checked_problem(
        batch=cache_seqlens.shape[0],
        s_q=whole_number("s_q", s_q),
        h_q=whole_number("h_q", h_q),
        h_kv=whole_number("h_kv", h_kv),
        d_qk=whole_number("d_qk", d_qk),
        head_dim_v=head_dim_v,
        page_size=whole_number("page_size", page_size),
        dtype=dtype,
        kv_dtype=kv_dtype,
        causal=causal,
        softmax_scale=softmax_scale,
        has_attn_sink=truth("has_attn_sink", has_attn_sink),
        mode=mode,
    )
    if traced:
        workspace: Tensor = torch.ops.seesaw_mla.plan_decode(cache_seqlens, *problem[1:])
        return workspace
    try:
        if not cache_seqlens.is_cuda:
            host_plan(problem, cache_seqlens)  # raises what is wrong with it
        return _plan_decode(cache_seqlens, problem)
    except (SeesawError, TypeError) as error:
        raise restated(error, _PLAN_NAMES) from None


# plan_decode's words for what `decode` has in its arrays.
_PLAN_NAMES = {
    "q.shape[0]": "cache_seqlens.shape[0]",
    "q.shape[1]": "s_q",
    "q.shape[2]": "h_q",
    "q.shape[3]": "d_qk",
    "q.dtype": "dtype",
    "kv_cache.shape[1]": "page_size",
    "kv_cache.shape[2]": "h_kv",
    "kv_cache.dtype": "kv_dtype",
}


def _plan_decode(cache_seqlens: Tensor, problem: DecodeProblem) -> Tensor:
    if cache_seqlens.is_cuda:
        workspace = prepared_workspace(problem, cache_seqlens, cache_seqlens.device)
    else:
        workspace = empty_workspace(0, cache_seqlens.device)
    # What it was made for: decode refuses it for anything else.
    workspace._seesaw_problem = problem  # type: ignore[attr-defined]
    return workspace


def decode(
    q: Tensor,
    kv_cache: Tensor,
    block_table: Tensor,
    cache_seqlens: Tensor,
    workspace: Tensor | None = None,
    *,
    head_dim_v: int = 512,
    softmax_scale: float | None = None,
    causal: bool = False,
    attn_sink: Tensor | None = None,
    mode: str = "throughput",
    out: Tensor | None = None,
    lse: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(scale * Q K^T) V over a paged cache; returns (out, lse).

    q              [b, s_q, h_q, d_qk], unit last stride
    kv_cache       [num_pages, page_size, h_kv, d_qk], unit last stride; V is the first head_dim_v
    block_table    int32 [b, max_pages]; what lies beyond a request's length is never read
    cache_seqlens  int32 [b]
    workspace      from plan_decode for these shapes, rules and lengths; None: planned in this call
    softmax_scale  None: d_qk ** -0.5
    causal         query i of s_q sees keys up to s_k - s_q + i
    attn_sink      float32 [h_q], natural log
    out            [b, s_q, h_q, head_dim_v] of q's type
    lse            float32 [b, h_q, s_q], natural log

    A query that sees no key gets out = 0 and lse = +infinity. On CUDA the call enqueues on the
    current stream and may be captured. Raises InvalidArgumentError, UnsupportedError, TypeError; on
    the CPU InvalidArgumentError for a length out of range as well, and CorruptDataError for a page.
    """
    arrays = (q, kv_cache, block_table, cache_seqlens)
    traced = is_traced(*arrays, workspace, attn_sink, out, lse)
    asked: tuple[Any, ...] = ()
    if workspace is not None and not traced:
        asked = shapes_and_rules(q, kv_cache, head_dim_v, softmax_scale, causal, attn_sink)
        asked = (*asked, mode)
        ready = getattr(workspace, "_seesaw_ready", None)
        if ready is not None and ready.asked == asked:
            return _launch(ready.plan, arrays, workspace, attn_sink, out, lse)
    check_tensor("q", q, 4, "[b, s_q, h_q, d_qk]")
    check_tensor("kv_cache", kv_cache, 4, "[num_pages, page_size, h_kv, d_qk]")
    check_tensor("block_table", block_table, 2, "int32 [b, max_pages]")
    check_tensor("cache_seqlens", cache_seqlens, 1, "int32 [b]")
    if workspace is not None:
        check_tensor("workspace", workspace, 1, "uint8, from plan_decode")
        if workspace.dtype != torch.uint8:
            raise InvalidArgumentError(f"workspace.dtype: is {workspace.dtype}, must be uint8")
    problem = decode_problem(
        q, kv_cache, head_dim_v, softmax_scale, causal, attn_sink is not None, mode
    )
    if traced:
        if workspace is None:
            workspace = torch.ops.seesaw_mla.plan_decode(cache_seqlens, *problem[1:])
        return call_operator(arrays, workspace, problem, attn_sink, out, lse)
    results = _plan_and_launch(arrays, workspace, problem, attn_sink, out, lse)
    if workspace is not None and q.is_cuda:
        plan = device_plan(problem, q.device.index)
        workspace._seesaw_ready = _Ready(asked, plan)  # type: ignore[attr-defined]
    return results


class _Ready(NamedTuple):
    """Left in a workspace by a call: what is asked for like this takes that plan."""

    asked: tuple[Any, ...]
    plan: Plan


Arrays = tuple[Tensor, Tensor, Tensor, Tensor]  # q, kv_cache, block_table, cache_seqlens


def _plan_and_launch(
    arrays: Arrays,
    workspace: Tensor | None,
    problem: DecodeProblem,
    attn_sink: Tensor | None,
    out: Tensor | None,
    lse: Tensor | None,
    names: dict[str, str] | None = None,
) -> tuple[Tensor, Tensor]:
    """With the workspace as it is, or planned here where there is none. `names` are for errors."""
    q, _, _, cache_seqlens = arrays
    planned = getattr(workspace, "_seesaw_problem", problem)
    if planned != problem:
        raise InvalidArgumentError(
            f"workspace: was planned for {planned}, must be planned for {problem}"
        )
    try:
        if not q.is_cuda:
            work, workspace = host_plan(problem, cache_seqlens), None
        else:
            if workspace is None:
                workspace = prepared_workspace(problem, cache_seqlens, q.device)
            work = device_plan(problem, q.device.index)
    except (SeesawError, TypeError) as error:
        raise restated(error, names) from None
    return _launch(work, arrays, workspace, attn_sink, out, lse, names)


def _launch(
    work: Plan,
    arrays: Arrays,
    workspace: Tensor | None,
    attn_sink: Tensor | None,
    out: Tensor | None,
    lse: Tensor | None,
    names: dict[str, str] | None = None,
) -> tuple[Tensor, Tensor]:
    q, kv_cache, block_table, _ = arrays
    try:
        results: tuple[Tensor, Tensor] = decode_arrays(
            work,
            q,
            kv_cache,
            block_table,
            attn_sink=attn_sink,
            out=out,
            lse=lse,
            workspace=workspace,
        )
        return results
    except (SeesawError, TypeError) as error:
        raise restated(error, names) from None


# The operators. All that a plan depends on besides the lengths goes into them as plain numbers.
_PROBLEM = (
    "SymInt s_q, SymInt h_q, SymInt h_kv, SymInt d_qk, SymInt head_dim_v, SymInt page_size, "
    "ScalarType dtype, ScalarType kv_dtype, bool causal, float softmax_scale, bool has_attn_sink, "
    "str schedule_mode"
)
_CALL = (
    "Tensor q, Tensor kv_cache, Tensor block_table, Tensor cache_seqlens, Tensor(a!) workspace, "
    "SymInt head_dim_v, float softmax_scale, bool causal, Tensor? attn_sink, str schedule_mode"
)
_LIBRARY: Any = torch.library.Library("seesaw_mla", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"plan_decode(Tensor cache_seqlens, {_PROBLEM}) -> Tensor")
# What errors call the cache: functions differ in it.
_NAME = 'str cache_name="kv_cache"'
_LIBRARY.define(f"decode({_CALL}, {_NAME}) -> (Tensor, Tensor)")
_LIBRARY.define(f"decode_out({_CALL}, Tensor(b!) out, Tensor(c!) lse, {_NAME}) -> ()")


def call_operator(
    arrays: Arrays,
    workspace: Tensor,
    problem: DecodeProblem,
    attn_sink: Tensor | None,
    out: Tensor | None,
    lse: Tensor | None,
    cache_name: str = "kv_cache",
) -> tuple[Tensor, Tensor]:
    """seesaw_mla::decode, or ::decode_out where an output is given."""
    q = arrays[0]
    if attn_sink is not None:
        check_tensor("attn_sink", attn_sink, 1, "float32 [h_q]")
    if out is not None:
        check_tensor("out", out, 4, "[b, s_q, h_q, head_dim_v]")
    if lse is not None:
        check_tensor("lse", lse, 3, "float32 [b, h_q, s_q]")
    rules = (problem.head_dim_v, problem.softmax_scale, problem.causal, attn_sink, problem.mode)
    if out is None and lse is None:
        results: tuple[Tensor, Tensor] = torch.ops.seesaw_mla.decode(
            *arrays, workspace, *rules, cache_name
        )
        return results
    batch, s_q, h_q, _ = q.shape
    if out is None:
        out = q.new_empty((batch, s_q, h_q, problem.head_dim_v))
    if lse is None:
        lse = q.new_empty((batch, h_q, s_q), dtype=torch.float32)
    torch.ops.seesaw_mla.decode_out(*arrays, workspace, *rules, out, lse, cache_name)
    return out, lse


def _plan_decode_operator(cache_seqlens: Tensor, *fields: Any) -> Tensor:
    try:
        return _plan_decode(cache_seqlens, DecodeProblem(cache_seqlens.shape[0], *fields))
    except (SeesawError, TypeError) as error:
        raise restated(error, _PLAN_NAMES) from None


def _plan_decode_fake(cache_seqlens: Tensor, *fields: Any) -> Tensor:
    if cache_seqlens.device.type != "cuda":
        return cache_seqlens.new_empty((0,), dtype=torch.uint8)
    problem = DecodeProblem(cache_seqlens.shape[0], *fields)
    if any(isinstance(field, torch.SymInt) for field in problem):
        num_bytes: Any = torch.library.get_ctx().new_dynamic_size()
    else:
        num_bytes = device_plan(problem, cache_seqlens.device.index).workspace_bytes
    return cache_seqlens.new_empty((num_bytes,), dtype=torch.uint8)


def _decode_operator(
    q: Tensor,
    kv_cache: Tensor,
    block_table: Tensor,
    cache_seqlens: Tensor,
    workspace: Tensor,
    head_dim_v: int,
    softmax_scale: float,
    causal: bool,
    attn_sink: Tensor | None,
    schedule_mode: str,
    cache_name: str = "kv_cache",
    out: Tensor | None = None,
    lse: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    problem = decode_problem(
        q, kv_cache, head_dim_v, softmax_scale, causal, attn_sink is not None, schedule_mode
    )
    arrays = (q, kv_cache, block_table, cache_seqlens)
    names = {"kv_cache": cache_name}
    return _plan_and_launch(arrays, workspace, problem, attn_sink, out, lse, names)


def _decode_out_operator(*arguments: Any) -> None:
    call, (out, lse, *named) = arguments[:10], arguments[10:]
    cache_name = named[0] if named else "kv_cache"  # torch leaves defaults out
    in_order = (*call, cache_name, out, lse)
    _decode_operator(*in_order)


def _decode_fake(
    q: Tensor,
    kv_cache: Tensor,
    block_table: Tensor,
    cache_seqlens: Tensor,
    workspace: Tensor,
    head_dim_v: int,
    *rules: Any,
) -> tuple[Tensor, Tensor]:
    batch, s_q, h_q, _ = q.shape
    out = q.new_empty((batch, s_q, h_q, head_dim_v))
    return out, q.new_empty((batch, h_q, s_q), dtype=torch.float32)


def _decode_out_fake(*arguments: Any) -> None:
    return None


for _name, _kernel, _fake in (
    ("plan_decode", _plan_decode_operator, _plan_decode_fake),
    ("decode", _decode_operator, _decode_fake),
    ("decode_out", _decode_out_operator, _decode_out_fake),
):
    for _key in ("CPU", "CUDA"):
        _LIBRARY.impl(_name, _kernel, _key)
    torch.library.register_fake(f"seesaw_mla::{_name}", _fake, lib=_LIBRARY)
