"""Times of calls: alone, and back to back; on a CUDA device by events, on a CPU by the clock."""

import statistics
import time

import torch

from .contenders import Call

CALLS = 16
# Cycles of a kernel that only waits, while the host enqueues the calls behind it: 16 calls at
# 150 us each fit, so that the device never waits for the host. At most 2 GHz.
PAUSE_CYCLES = CALLS * 150 * 2000


class OnCpu:
    def __init__(self, call: Call, calls: int) -> None:
        self.call, self.calls = call, calls
        call(0)

    def single_us(self) -> list[float]:
        times = []
        for set_idx in range(self.calls):
            start = time.perf_counter_ns()
            self.call(set_idx)
            times.append((time.perf_counter_ns() - start) / 1e3)
        return times

    def burst_us(self) -> float:
        start = time.perf_counter_ns()
        for set_idx in range(self.calls):
            self.call(set_idx)
        return (time.perf_counter_ns() - start) / 1e3 / self.calls


class OnCuda:
    """Single calls between two events each; a CUDA graph of as many calls, one after another."""

    def __init__(self, call: Call, calls: int) -> None:
        self.call, self.calls = call, calls
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # what a first call sets up cannot be captured
            for set_idx in range(3):
                call(set_idx)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for set_idx in range(calls):
                call(set_idx)
        self.graph.replay()
        torch.cuda.synchronize()

    def single_us(self) -> list[float]:
        marks = [
            (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            for _ in range(self.calls)
        ]
        torch.cuda._sleep(PAUSE_CYCLES)
        for set_idx, (start, end) in enumerate(marks):
            start.record()
            self.call(set_idx)
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) * 1e3 for start, end in marks]

    def burst_us(self) -> float:
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(PAUSE_CYCLES)
        start.record()
        self.graph.replay()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1e3 / self.calls


def in_turn(timers: dict[str, OnCpu | OnCuda], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Each round times every contender once, and begins with another one: per name the medians
    of the rounds, {"single_us": [...], "burst_us": [...]}."""
    names = list(timers)
    times: dict[str, dict[str, list[float]]] = {
        name: {"single_us": [], "burst_us": []} for name in names
    }
    for round_idx in range(rounds):
        first = round_idx % len(names)
        for name in names[first:] + names[:first]:
            times[name]["single_us"].append(statistics.median(timers[name].single_us()))
        for name in names[first:] + names[:first]:
            times[name]["burst_us"].append(timers[name].burst_us())
    return times
