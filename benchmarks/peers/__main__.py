"""Times Seesaw's dense decode beside peers: benchmarks/README.md says what is measured and how.

Exit code 0: Seesaw ran and was right, whatever peers were there; 1: it was not, or failed;
2: bad arguments.
"""

import argparse
import json
import pathlib
import random
import statistics
import sys
from typing import Any

import torch

from . import check, facts, shapes
from .contenders import SEESAW, Absent, FlashInfer, FlashMlaModule, results_of
from .inputs import Case, make_case, make_pool
from .measure import CALLS, OnCpu, OnCuda, in_turn


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.peers", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--module", action="append", default=[], metavar="NAME",
        help="a module with flash_mla's interface; may be repeated")
    add("--flashinfer", action="store_true", help="FlashInfer's BatchMLAPagedAttentionWrapper")
    add("--device", default=None, help="a torch device: default cuda where there is one, else cpu")
    add("--shape", action="append", default=[], metavar="NAME",
        help='as "b 128 s_q 1 h_q 128 s_k ~8192"; may be repeated; ~: lengths vary')
    add("--causal", action="store_true", help="with the causal mask")
    add("--plan-each-call", action="store_true", help="planning inside every timed call")
    add("--rounds", type=int, default=10, help="rounds of %(default)s")
    add("--calls", type=int, default=CALLS, help="calls of a round, at most %(default)s")
    add("--pool-mib", type=int, default=None, help="least size of the cache (GPU 2048, CPU 1)")
    add("--seed", type=int, default=None, help="of the inputs; default a new one")
    add("--json", type=pathlib.Path, default=None, metavar="FILE", help="keep the results")
    parsed = parser.parse_args(arguments)
    if parsed.device is None:
        parsed.device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(parsed.device)
    except RuntimeError as error:
        parser.error(f"--device: {error}".splitlines()[0])
    if device.type not in ("cpu", "cuda"):
        parser.error(f"--device: is {parsed.device}, must be cpu or a CUDA device")
    is_cuda = device.type == "cuda"
    if is_cuda and not torch.cuda.is_available():
        parser.error("--device: torch finds no CUDA device here")
    if is_cuda and (device.index or 0) >= torch.cuda.device_count():
        parser.error(f"--device: is {parsed.device}; torch finds {torch.cuda.device_count()}")
    if parsed.rounds < 1 or not 1 <= parsed.calls <= CALLS:
        parser.error(f"--rounds must be at least 1, --calls from 1 to {CALLS}")
    if parsed.seed is not None and not 0 <= parsed.seed < 2**63:
        parser.error("--seed must be from 0 to 2**63 - 1")
    if parsed.pool_mib is not None and parsed.pool_mib < 0:
        parser.error("--pool-mib must be at least 0")
    if parsed.json is not None:
        try:
            parsed.json.open("a").close()  # before measuring, not after
        except OSError as error:
            parser.error(f"--json: {error}")
    try:
        named = [shapes.parse(name) for name in parsed.shape]
    except ValueError as error:
        parser.error(str(error))
    parsed.shapes = named or list(shapes.FOR_CUDA if is_cuda else shapes.FOR_CPU)
    parsed.pool_mib = parsed.pool_mib if parsed.pool_mib is not None else 2048 if is_cuda else 1
    parsed.seed = parsed.seed if parsed.seed is not None else random.SystemRandom().getrandbits(31)
    return parsed


def find_contenders(options: argparse.Namespace) -> list:
    """Seesaw, then the peers that are there; of others it is said why they are not."""
    contenders: list = [FlashMlaModule(SEESAW)]
    for name in options.module:
        try:
            contenders.append(FlashMlaModule(name))
        except Absent as absent:
            print(f"skipped: {absent}")
    if options.flashinfer:
        try:
            contenders.append(FlashInfer(options.device))
        except Absent as absent:
            print(f"skipped: {absent}")
    return contenders


def run_case(case: Case, contenders: list, options: argparse.Namespace) -> dict:
    """One row of the report. A peer that fails has its message there; Seesaw's failure is one
    of the run."""
    timer_type = OnCuda if options.device.startswith("cuda") else OnCpu
    timers: dict[str, OnCpu | OnCuda] = {}
    row: dict = {"name": case.shape.name, "sets": len(case.block_tables), "contenders": {}}
    seesaw_out = None
    for contender in contenders:
        try:
            call = contender.prepare(case, options.plan_each_call)
            out, lse = results_of(call, 0)
            error = check.error_of_rows(case, out, lse)
            entry: dict[str, Any] = {"error": error, "is_right": error <= check.LIMIT}
            if seesaw_out is None:
                seesaw_out = out
            else:
                entry["difference"] = check.difference(out, seesaw_out)
                entry["is_right"] &= entry["difference"] <= 2 * check.LIMIT
            timers[contender.name] = timer_type(call, options.calls)
        except Exception as failure:  # a peer may raise anything
            if contender is contenders[0]:
                raise
            entry = {"failure": f"{type(failure).__name__}: {failure}".splitlines()[0]}
        row["contenders"][contender.name] = entry
    times = in_turn(timers, options.rounds)
    for name, measured in times.items():
        entry = row["contenders"][name]
        for kind, rounds in measured.items():
            entry[kind] = statistics.median(rounds)
            entry[f"{kind}_rounds"] = rounds
            ours = times["seesaw"][kind]
            entry[f"ratio_{kind}"] = entry[kind] / statistics.median(ours)
            paired = [theirs / our for theirs, our in zip(rounds, ours, strict=True)]
            entry[f"ratio_{kind}_by_round"] = statistics.median(paired)
        entry["tflops"] = case.num_operations / entry["single_us"] * 1e-6
        entry["gb_per_s"] = case.num_bytes / entry["single_us"] * 1e-3
    return row


HEADINGS = ("us", "TFLOPS", "GB/s", "x seesaw", "error", "difference")


def print_heading() -> None:
    print(f"{'shape':34} {'who':20}" + "".join(f"{heading:>22}" for heading in HEADINGS[:1])
          + "".join(f"{heading:>12}" for heading in HEADINGS[1:3]) + f"{HEADINGS[3]:>18}"
          + "".join(f"{heading:>12}" for heading in HEADINGS[4:]))


def print_row(row: dict) -> None:
    for name, entry in row["contenders"].items():
        title = f"{row['name']:34} {name:20}"
        if "failure" in entry:
            print(f"{title} failed: {entry['failure']}")
            continue
        times = f"{entry['single_us']:.1f} ({entry['burst_us']:.1f})"
        ratios = f"{entry['ratio_single_us']:.2f} ({entry['ratio_burst_us']:.2f})"
        difference = f"{entry['difference']:.1e}" if "difference" in entry else ""
        verdict = "" if entry["is_right"] else "  WRONG"
        print(f"{title}{times:>22}{entry['tflops']:>12.3g}{entry['gb_per_s']:>12.4g}"
              f"{ratios:>18}{entry['error']:>12.1e}{difference:>12}{verdict}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    try:
        contenders = find_contenders(options)
    except Absent as absent:
        print(f"Seesaw cannot run: {absent}", file=sys.stderr)
        return 1
    report: dict = {
        "machine": facts.machine_facts(options.device),
        "seed": options.seed,
        "rounds": options.rounds,
        "calls": options.calls,
        "is_causal": options.causal,
        "plans_each_call": options.plan_each_call,
        "versions": {contender.name: contender.version for contender in contenders},
        "device_state_before": facts.device_state(),
        "rows": [],
    }
    pool = make_pool(options.shapes, options.seed, options.pool_mib << 20, options.device)
    print(f"seed {options.seed}; medians of {options.rounds} rounds of {options.calls} calls; "
          "in brackets back to back")
    print_heading()
    for shape in options.shapes:
        case = make_case(shape, pool, options.seed, options.causal)
        row = run_case(case, contenders, options)
        report["rows"].append(row)
        print_row(row)
    report["device_state_after"] = facts.device_state()
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(row["contenders"]["seesaw"]["is_right"] for row in report["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
