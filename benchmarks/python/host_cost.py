"""What a call costs the host, from Python's entry to its return, with torch tensors.

    python benchmarks/python/host_cost.py                  on the CPU
    python benchmarks/python/host_cost.py --device cuda    on the first CUDA device

On a CUDA device a call returns when its kernels are enqueued. Calls are made in bursts, few enough
that they fit the device's queue, and a burst is waited for before the next, so that no call waits
for the device. On the CPU a call computes: the problem is as small as they come, and its time is a
row of its own.

Rows are measured in turn, round by round; a figure is the median over the rounds of the mean of a
burst. Derived rows are differences of medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import timeit
import types
from pathlib import Path
from typing import Any

import torch

import seesaw_mla as sm
from seesaw_mla import _frameworks, flash_mla


def arrays_of(device: str, batch: int) -> dict[str, Any]:
    """A decode of one token for `batch` requests of 64 cached tokens, as DeepSeek-V3 has them with
    16 heads; on the CPU with the smallest dimensions instead, as there the kernel is waited for."""
    h_q, d_qk, d_v = (16, 576, 512) if device == "cuda" else (1, 8, 8)
    spec = sm.probe_cuda()[0] if device == "cuda" else sm.probe_cpu()
    lengths = [64 if device == "cuda" else 1] * batch
    problem = sm.AttentionProblem(batch=batch, h_q=h_q, d_qk=d_qk, d_v=d_v, page_size=64)
    plan = sm.plan(problem, spec, lengths)
    like: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    arrays = {
        "plan": plan,
        "q": torch.ones((batch, 1, h_q, d_qk), **like),
        "cache": torch.ones((2, 64, 1, d_qk), **like),
        "table": torch.zeros((batch, 1), dtype=torch.int32, device=device),
        "out": torch.empty((batch, 1, h_q, d_v), **like),
        "lse": torch.empty((batch, h_q, 1), device=device),
        "workspace": torch.empty(plan.workspace_bytes, dtype=torch.uint8, device=device),
    }
    sm.prepare(plan, workspace=arrays["workspace"])
    return arrays


GIVEN = "workspace=workspace, verify=False"
CALL = f"decode(plan, q, cache, table, {GIVEN}"
DROP_IN = "q, cache, table, lengths, d_v, metadata, softmax_scale=0.1, causal=True"
STATEMENTS = {
    "whole": f"{CALL}, executor=executor)",
    "given": f"{CALL}, executor=executor, out=out, lse=lse)",
    "nothing": f"{CALL}, executor=executor, out=out, lse=lse)",  # of no request
    "empty": "empty(q, (1, 1, 16, 512), (8192, 8192, 512, 1), 'bfloat16', 0, 0); "
    "empty(q, (1, 16, 1), (16, 1, 1), 'float32', 0, 0)",
    "add": "lse.add_(1)",
    "python": "nothing(plan, q, cache, table, workspace=workspace, verify=False, "
    "executor=executor, out=out, lse=lse)",
    "drop_in": f"drop_in({DROP_IN})",
    "drop_in_python": f"drop_in_python({DROP_IN})",
}


def nothing(*arguments: Any, **named: Any) -> None:
    """What calling costs when nothing is done."""


def drop_in_of(arrays: dict[str, Any]) -> dict[str, Any]:
    """flash_mla_with_kvcache with a plan made before, and the same with the call that it ends in
    left out."""
    function = flash_mla.flash_mla_with_kvcache
    names = {
        "drop_in": function,
        "drop_in_python": types.FunctionType(
            function.__code__,
            {**function.__globals__, "decode_arrays": nothing},
            argdefs=function.__defaults__,
        ),
        "lengths": torch.ones(len(arrays["q"]), dtype=torch.int32, device=arrays["q"].device),
        "d_v": arrays["out"].shape[-1],
        "metadata": flash_mla.get_mla_metadata()[0],
    }
    names["drop_in_python"].__kwdefaults__ = function.__kwdefaults__
    exec(STATEMENTS["drop_in"], {**arrays, **names})
    return names


def timers(device: str) -> dict[str, timeit.Timer]:
    cuda = device == "cuda"
    names = {
        "decode": sm.decode,
        "nothing": nothing,
        "empty": _frameworks._torch_empty,
        # A pool of one thread: waking others would be measured on the CPU.
        "executor": None if cuda else sm.Executor.cpu(1),
    }
    arrays = arrays_of(device, batch=1)
    requests = {**names, **arrays, **drop_in_of(arrays)}
    no_request = {**names, **arrays_of(device, batch=0)}
    return {
        name: timeit.Timer(statement, globals=no_request if name == "nothing" else requests)
        for name, statement in STATEMENTS.items()
        if cuda or name != "drop_in"  # on the CPU it would wake every thread there is
    }


def measure(device: str, rounds: int, calls: int) -> dict[str, float]:
    """Microseconds of each statement, the median of the rounds' means."""
    rows = timers(device)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for round_idx in range(rounds + 2):
        for name, timer in rows.items():
            seconds = timer.timeit(calls)
            if device == "cuda":
                torch.cuda.synchronize()
            if round_idx >= 2:  # the first ones load kernels and fill caches
                times[name].append(seconds / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def table_of(us: dict[str, float], device: str) -> list[tuple[str, float]]:
    work = "launch of the kernels" if device == "cuda" else "the kernel on the CPU, its checks"
    own = "flash_mla_with_kvcache, planned before: beyond the decode that it calls"
    drop_in = [(own, us["drop_in_python"] - us["python"])]
    if "drop_in" in us:
        drop_in = [("flash_mla_with_kvcache, planned before", us["drop_in"]), *drop_in]
    return [
        ("decode, outputs allocated by torch", us["whole"]),
        ("decode, outputs given", us["given"]),
        ("  arguments: an empty Python function's call", us["python"]),
        ("  arrays taken and checked, beyond that", us["nothing"] - us["python"]),
        ("  " + work, us["given"] - us["nothing"]),
        ("  outputs allocated (the difference)", us["whole"] - us["given"]),
        *drop_in,
        ("two allocations by torch alone", us["empty"]),
        ("for scale: an in-place add of torch", us["add"]),
    ]


def facts(device: str) -> dict[str, str]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=7"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
    )
    return {
        "cpu": cpu,
        "device": sm.probe_cuda()[0].name if device == "cuda" else "the CPU",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip() or "unknown",
        "command": "python " + " ".join(sys.argv),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=200, help="of a burst")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    options = parser.parse_args()
    if options.rounds < 1 or options.calls < 1:
        parser.error("--rounds and --calls must be at least 1")
    if options.json:
        try:
            options.json.open("a").close()  # before measuring, not after
        except OSError as error:
            parser.error(f"--json: {error}")
    if options.device == "cuda" and not sm.probe_cuda():
        sys.exit("no CUDA device, or seesaw_mla is built without CUDA")
    torch.set_num_threads(1)
    machine = facts(options.device)
    rows = table_of(measure(options.device, options.rounds, options.calls), options.device)
    for name, text in machine.items():
        print(f"{name}: {text}")
    for name, us in rows:
        print(f"{us:8.2f} us  {name}")
    if options.json:
        content = {"machine": machine, "microseconds": dict(rows)}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
