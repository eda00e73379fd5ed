"""Workspaces and executors: given or not, shared or not, by threads and forked processes."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from decode_case import Case

import seesaw_mla as sm


def aligned(num_bytes, fill=0xFF, offset=0):
    memory = np.full(num_bytes + 128 + offset, fill, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    return memory[begin : begin + num_bytes]


def test_given_workspace(rng):
    case = Case(rng, lengths=(3000, 2500), s_q=1)
    workspace = aligned(case.plan.workspace_bytes)
    out, lse = case.run(workspace=workspace)
    case.check(out, lse)
    own_out, own_lse = case.run()
    assert np.array_equal(out, own_out) and np.array_equal(lse, own_lse)
    sm.prepare(case.plan, workspace=workspace)  # nothing, of a CPU plan
    sm.prepare(case.plan)
    for given in (workspace, None):
        with pytest.raises(sm.InvalidArgumentError, match="kv_lengths: is given, must not be"):
            sm.prepare(case.plan, case.lengths, workspace=given)


def test_bytes_beyond_the_plans_are_not_written(rng):
    case = Case(rng, lengths=(3000, 2500), s_q=1)
    num_bytes = case.plan.workspace_bytes
    workspace = aligned(num_bytes + 4096)
    case.check(*case.run(workspace=workspace))
    assert np.all(workspace[num_bytes:] == 0xFF)


@pytest.mark.parametrize(
    "change, error, match",
    [
        (lambda w: w[:-64], sm.WorkspaceTooSmallError, "workspace"),
        (lambda w: aligned(w.size, offset=1), sm.InvalidArgumentError, "workspace"),
        (lambda w: w.view(np.float32), sm.InvalidArgumentError, "workspace.dtype: is float32"),
        (lambda w: w[None], sm.InvalidArgumentError, "workspace.rank: is 2"),
        (lambda w: aligned(2 * w.size)[::2], sm.InvalidArgumentError, r"workspace.stride\[0\]"),
        (lambda w: w.tobytes(), sm.InvalidArgumentError, "workspace: is read-only"),
        (lambda w: w.size, TypeError, "workspace: is int"),
    ],
)
def test_bad_workspaces(rng, change, error, match):
    case = Case(rng, lengths=(3000, 2500), s_q=1)
    with pytest.raises(error, match=match):
        case.run(workspace=change(aligned(case.plan.workspace_bytes)))


def test_threads_share_a_plan_with_a_workspace_each(rng):
    case = Case(rng, lengths=(3000, 2500), s_q=1)
    results = []

    def work():
        workspace, executor = aligned(case.plan.workspace_bytes), sm.Executor.cpu(1)
        for _ in range(20):
            results.append(case.run(workspace=workspace, executor=executor))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    for out, lse in results:
        assert np.array_equal(out, results[0][0]) and np.array_equal(lse, results[0][1])
    case.check(*results[0])


def test_replan_beside_calls(rng):
    """A call sees the lengths before a replan or those after it, never half of each."""
    case = Case(rng, lengths=(300, 250), s_q=1)
    half = Case(rng, lengths=(300, 250), s_q=1)
    sm.replan(half.plan, case.lengths // 2)
    half.q, half.cache, half.table = case.q, case.cache, case.table
    wanted = [case.run(), half.run()]
    done = threading.Event()

    def replan():
        while not done.is_set():
            sm.replan(case.plan, case.lengths // 2)
            sm.replan(case.plan, case.lengths)

    thread = threading.Thread(target=replan)
    thread.start()
    workspace = aligned(case.plan.workspace_bytes + half.plan.workspace_bytes + (1 << 20))
    try:
        for i in range(300):
            out, lse = case.run(executor=None, workspace=workspace if i % 2 else None)
            assert any(np.array_equal(out, w[0]) and np.array_equal(lse, w[1]) for w in wanted)
    finally:
        done.set()
        thread.join()


FORK = """
import os, sys
import numpy as np
import seesaw_mla as sm

problem = sm.AttentionProblem(
    batch=1, h_q=2, d_qk=8, d_v=8, page_size=16, q_dtype=sm.DType.FLOAT32,
    out_dtype=sm.DType.FLOAT32, kv_format=sm.KvFormat.FLOAT32)
plan = sm.plan(problem, sm.probe_cpu(), [300])
q, cache = np.ones((1, 1, 2, 8), np.float32), np.full((19, 16, 1, 8), 0.5, np.float32)
table = np.arange(19, dtype=np.int32)[None]
run = lambda: float(sm.decode(plan, q, cache, table)[0][0, 0, 0, 0])
assert run() == 0.5
child = os.fork()
if child == 0:
    os._exit(7 if run() == 0.5 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_forked_process_has_an_executor_of_its_own():
    run = subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False)
    assert run.returncode == 7


def test_kernels_are_listed():
    kernels = sm.list_kernels()
    assert any(k.is_supported and k.device == sm.DeviceKind.CPU for k in kernels)
    assert all((sm.DType.BFLOAT16, sm.KvFormat.BFLOAT16) in k.formats for k in kernels)
