"""Arrays of torch, CuPy and JAX on a CUDA device against float64: types, plans, errors, threads."""

import threading

import numpy as np
import pytest
from device_case import SMALL, DeviceCase
from producers import PRODUCERS, Torch

import seesaw_mla as sm


@pytest.fixture(params=PRODUCERS)
def producer(request):
    return PRODUCERS[request.param]()


@pytest.fixture
def torch_arrays():
    return Torch()


@pytest.mark.parametrize("dtype", [sm.DType.BFLOAT16, sm.DType.FLOAT16])
@pytest.mark.parametrize("fields", [{}, SMALL, {"s_q": 3, "mask": sm.Mask.CAUSAL}])
def test_matches_float64(rng, device, producer, dtype, fields):
    case = DeviceCase(rng, device, producer, dtype=dtype, **fields)
    case.check(case.decode(case.device_plan()))


def test_attention_sink(rng, device, producer):
    case = DeviceCase(rng, device, producer, has_attn_sink=True)
    case.check(case.decode(case.device_plan(), attn_sink=producer.array(case.case.sink)))


def test_plan_of_host_lengths(rng, device, producer):
    case = DeviceCase(rng, device, producer)
    plan = sm.plan(case.problem, device, case.case.lengths)
    executor = sm.Executor.cuda(device.cuda_ordinal)
    sm.prepare(plan, executor=executor)  # in memory of the library's
    executor.synchronize()
    if not isinstance(producer, PRODUCERS["jax"]):
        with pytest.raises(sm.InvalidArgumentError, match="lse"):
            case.decode(plan, lse=producer.array(np.zeros((4, 16), np.float32)))
    case.check(case.decode(plan))


def test_no_requests(rng, device, producer):
    case = DeviceCase(rng, device, producer, lengths=(5,))
    case.problem.batch = 0
    plan = sm.plan_for_device_lengths(case.problem, device)
    sm.prepare(plan, case.lengths[:0])
    out, lse = case.decode(plan, q=case.q[:0], block_table=case.table[:0])
    assert tuple(out.shape) == (0, 1, 16, 512) and tuple(lse.shape) == (0, 16, 1)


def test_given_workspace(rng, device, torch_arrays):
    case = DeviceCase(rng, device, torch_arrays)
    plan = sm.plan(case.problem, device, case.case.lengths)
    workspace = torch_arrays.array(np.full(plan.workspace_bytes, 0xFF, np.uint8))
    with pytest.raises(sm.InvalidArgumentError, match="plan: is not prepared"):
        case.decode(plan)
    sm.prepare(plan, workspace=workspace)
    case.check(case.decode(plan, workspace=workspace))
    with pytest.raises(sm.WorkspaceTooSmallError):
        case.decode(plan, workspace=workspace[:-64])


def test_given_outputs_and_strides(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays, **SMALL)
    out = torch.full((4, 2, 6, 70), 9.0, dtype=torch.bfloat16, device="cuda")
    lse = torch.full((2, 6, 4), float("nan"), device="cuda").permute(2, 1, 0)
    pool = torch.full((*case.cache.shape[:-1], 120), float("nan"), dtype=torch.bfloat16).cuda()
    pool[..., 8:104] = case.cache
    results = case.decode(
        case.device_plan(), kv_cache=pool[..., 8:104], out=out[..., :64], lse=lse
    )
    assert results[0].data_ptr() == out.data_ptr() and results[1] is lse
    assert bool((out[..., 64:] == 9.0).all())
    case.check(results)


def test_frameworks_may_be_mixed(rng, device, torch_arrays):
    cupy_arrays = PRODUCERS["cupy"]()
    case = DeviceCase(rng, device, torch_arrays)
    case.cache, case.table = map(cupy_arrays.array, (case.case.cache, case.case.table))
    cupy_arrays.synchronize()
    with torch_arrays.stream(), cupy_arrays.stream():
        case.cache = cupy_arrays.late_copy(case.cache)  # on CuPy's stream, read on torch's
        case.check(case.decode(case.device_plan()))


def test_bad_pages_are_found_where_asked(rng, device, producer):
    case = DeviceCase(rng, device, producer)
    plan = case.device_plan()
    case.check(case.decode(plan, verify=True))
    case.case.table[3, 2] = 1 << 20
    with pytest.raises(sm.CorruptDataError, match=r"block_table\[3, 2\]"):
        case.decode(plan, block_table=producer.array(case.case.table), verify=True)


def test_arrays_elsewhere_are_refused(rng, device, torch_arrays):
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()
    with pytest.raises(sm.InvalidArgumentError, match="block_table: is on the CPU, must be"):
        case.decode(plan, block_table=case.case.table)
    with pytest.raises(sm.InvalidArgumentError, match="q: is on cuda:0, must be on the CPU"):
        case.decode(plan, executor=sm.Executor.cpu(1))
    with pytest.raises(sm.InvalidArgumentError, match="kv_lengths: is on a device"):
        sm.plan(case.problem, device, case.lengths)
    with pytest.raises(sm.InvalidArgumentError, match="kv_lengths"):
        sm.prepare(plan, case.lengths.long())
    case.check(case.decode(plan))


def test_arrays_of_no_framework_need_an_output(rng, device, torch_arrays):
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()

    class Exporter:
        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack__(self, **options):
            return self.tensor.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    with pytest.raises(sm.InvalidArgumentError, match="out: is None, must be given"):
        case.decode(plan, q=Exporter(case.q))
    out = case.q.new_full((4, 1, 16, 512), float("nan"))
    lse = case.q.new_full((4, 16, 1), float("nan"), dtype=torch_arrays.torch.float32)
    case.decode(plan, q=Exporter(case.q), out=out, lse=lse)
    case.check((out, lse))


def test_nothing_is_allocated_where_outputs_are_given(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    plan = case.device_plan()
    out, lse = case.decode(plan)
    count = torch.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(3):
        sm.prepare(plan, case.lengths)
        case.decode(plan, out=out, lse=lse)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == count
    case.check((out, lse))


def test_threads_share_a_plan_with_a_workspace_and_a_stream_each(rng, device, torch_arrays):
    torch = torch_arrays.torch
    case = DeviceCase(rng, device, torch_arrays)
    plan = sm.plan_for_device_lengths(case.problem, device)
    torch.cuda.synchronize()
    results = []

    def work():
        workspace = torch.empty(plan.workspace_bytes, dtype=torch.uint8, device="cuda")
        with torch_arrays.stream():
            for _ in range(20):
                sm.prepare(plan, case.lengths, workspace=workspace)
                result = case.decode(plan, workspace=workspace)
            torch.cuda.current_stream().synchronize()
        results.append(result)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        case.check(result)
        assert all(torch.equal(a, b) for a, b in zip(result, results[0]))
