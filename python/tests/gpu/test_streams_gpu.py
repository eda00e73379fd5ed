"""Work before and after a call on its framework's streams, and calls captured into a graph."""

import time

import numpy as np
import pytest
from device_case import DeviceCase, shortened
from producers import CYCLES, PRODUCERS, Torch

import seesaw_mla as sm
from seesaw_mla import _frameworks


@pytest.fixture(params=PRODUCERS)
def producer(request):
    return PRODUCERS[request.param]()


@pytest.fixture
def torch_arrays():
    return Torch()


def test_order_on_a_side_stream(rng, device, producer):
    """What the stream does before is seen, what it does after sees the results."""
    case = DeviceCase(rng, device, producer)
    producer.synchronize()
    with producer.stream():
        plan = case.device_plan()
        case.decode(plan)  # loads what a first call loads
        out, lse = case.decode(plan, q=producer.late_copy(case.q))
        after = out * 1, lse * 1
        del out, lse
        producer.synchronize()
    case.check(after)


def test_calls_do_not_wait(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()
    torch.cuda.synchronize()
    done = torch.cuda.Event()
    with torch_arrays.stream():
        case.decode(plan)  # takes the memory that the next call takes again
        torch.cuda._sleep(10 * CYCLES)
        done.record()
        sm.prepare(plan, case.lengths)
        results = case.decode(plan)
        assert not done.query()
        torch.cuda.synchronize()
    case.check(results)


def test_an_executor_of_another_stream_waits_for_the_current_one(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()
    case.decode(plan)
    side = torch.cuda.Stream()
    late = torch_arrays.late_copy(case.q)
    results = case.decode(plan, q=late, executor=sm.Executor.cuda(0, side.cuda_stream))
    torch.cuda.current_stream().wait_stream(side)
    case.check(results)


def captured(torch, call):
    """A graph of `call` and what it returned; it has been called once outside, as loading asks."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call()
    return graph, results


@pytest.mark.parametrize("is_workspace_given", [False, True])
def test_graph_replayed_with_other_lengths(rng, device, torch_arrays, is_workspace_given):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays, lengths=(1000, 333, 64, 4000, 1))
    plan = sm.plan_for_device_lengths(case.problem, device)
    workspace = None
    if is_workspace_given:
        workspace = torch.empty(plan.workspace_bytes, dtype=torch.uint8, device="cuda")

    def step():
        sm.prepare(plan, case.lengths, workspace=workspace)
        return case.decode(plan, workspace=workspace)

    graph, results = captured(torch, step)
    for lengths in ([1000, 333, 64, 4000, 1], [1, 333, 64, 3999, 0], [0] * 5, [0, 0, 0, 4000, 0]):
        case.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))
        table = case.case.table.copy()
        table[np.array(lengths) == 0] = -1  # requests that pad the batch have no pages
        case.table.copy_(torch_arrays.array(table))
        case.case.q = np.ascontiguousarray(case.case.q[:, :, rng.permutation(16)])
        case.q.copy_(torch_arrays.array(case.case.q))
        for result in results:
            result.fill_(float("nan"))
        graph.replay()
        whole = shortened(case.case, lengths)
        case.check(results)
        case.case.keys = whole


def test_first_call_inside_a_capture(rng, device, torch_arrays):
    """Workspace and outputs come from the capture's own memory; another call has loaded the
    kernels."""
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    case.decode(case.device_plan())
    plan = sm.plan_for_device_lengths(case.problem, device)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sm.prepare(plan, case.lengths)
        results = case.decode(plan)
    graph.replay()
    case.check(results)


def test_verifying_is_refused_while_captured(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()
    case.decode(plan)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        with pytest.raises(sm.SeesawError):
            case.decode(plan, verify=True)
        results = case.decode(plan)
    graph.replay()
    case.check(results)


def test_jax_lends_its_arrays_until_the_device_is_done(rng, device, torch_arrays):
    """Results and arguments that the program drops at once are not overwritten meanwhile."""
    torch = torch_arrays.torch
    jax_arrays = PRODUCERS["jax"]()
    case = DeviceCase(rng, device, jax_arrays)
    plan = case.device_plan()
    case.decode(plan)[0].block_until_ready()
    stream = torch.cuda.ExternalStream(_frameworks._jax_stream(case.q, 0))
    kept = _frameworks._kept_for_jax._calls
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10 * CYCLES)
    results = [case.decode(plan) for _ in range(5)]
    assert len(kept) >= 5
    torch.cuda.synchronize()
    results.append(case.decode(plan))
    results[-1][0].block_until_ready()
    jax_arrays.synchronize()
    time.sleep(0.1)  # threads of JAX's see that the device is done
    case.decode(plan)
    assert len(kept) <= 3
    for result in results:
        case.check(result)


@pytest.mark.parametrize("is_given", [False, True], ids=["its own", "given"])
def test_jax_waits_for_results(rng, device, torch_arrays, is_given):
    """It reads them on a stream of its own, whichever stream the call ran on."""
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, PRODUCERS["jax"]())
    plan = case.device_plan()
    case.decode(plan)[0].block_until_ready()
    stream = torch.cuda.Stream()
    if not is_given:
        stream = torch.cuda.ExternalStream(_frameworks._jax_stream(case.q, 0))
    executor = sm.Executor.cuda(0, stream.cuda_stream) if is_given else None
    for _ in range(5):  # JAX has several streams, and takes them in turn
        with torch.cuda.stream(stream):
            torch.cuda._sleep(CYCLES)
        out, lse = case.decode(plan, executor=executor)
        case.check((out * 1, lse * 1))
