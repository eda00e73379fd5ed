"""When calls on a device plan anew, with the device left out: plans are the CPU's, and streams,
captures and workspaces are numbers and names."""

import types

import pytest

torch = pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

from paged_case import PagedCase  # noqa: E402

from seesaw_mla._torch_plans import host_plan  # noqa: E402
from seesaw_mla.flash_mla import get_mla_metadata, planning  # noqa: E402


class Workspace:
    device = torch.device("cpu")

    def __init__(self):
        self.streams = []

    def record_stream(self, stream):
        self.streams.append(stream)


@pytest.fixture
def device(monkeypatch):
    """Which stream is current, which capture it is in, and how many plans were made."""
    state = types.SimpleNamespace(stream=1, capture=0, num_plans=0)

    def plan(call, problem):
        state.num_plans += 1
        return host_plan(problem, call.cache_seqlens), Workspace()

    monkeypatch.setattr(planning, "_plan", plan)
    monkeypatch.setattr(planning, "_capture_of", lambda stream, ordinal: state.capture)
    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda index: state.stream, raising=False
    )
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: state.stream)
    return state


@pytest.fixture
def case(rng):
    return PagedCase(rng, (20, 3))


def plan_of_call(case, metadata, num_splits=None, scale=None):
    call = planning.DenseCall(*case.arrays(), case.d_v, scale, False, None)
    return planning.plan_of_call(call, metadata, num_splits)[1]


def test_layers_share_a_plan(device, case):
    metadata = get_mla_metadata()[0]
    workspaces = {plan_of_call(case, metadata) for _ in range(5)}
    assert len(workspaces) == device.num_plans == 1
    plan_of_call(case, get_mla_metadata()[0])
    assert device.num_plans == 2


def test_another_scale_takes_another_plan(device, case):
    metadata = get_mla_metadata()[0]
    for scale in (0.1, 0.2, 0.2, 0.1):
        plan_of_call(case, metadata, scale=scale)
    assert device.num_plans == 3


def test_each_capture_plans_for_itself(device, case):
    metadata = get_mla_metadata()[0]
    workspaces = []
    for capture in (0, 7, 7, 8, 8, 0, 0):
        device.capture = capture
        workspaces.append(plan_of_call(case, metadata))
    assert device.num_plans == 4
    assert workspaces[1] is workspaces[2] and workspaces[3] is workspaces[4]
    assert workspaces[5] is workspaces[6] is not workspaces[0]


def test_other_streams_keep_the_workspace_alive(device, case):
    metadata = get_mla_metadata()[0]
    workspace = plan_of_call(case, metadata)
    assert plan_of_call(case, metadata) is workspace and workspace.streams == []
    device.stream = 2
    assert plan_of_call(case, metadata) is workspace and workspace.streams == [2]


def test_raw_and_filled_metadata_plan_in_each_call(device, case):
    raw = torch.zeros(4, 8, dtype=torch.int32)
    for _ in range(3):
        plan_of_call(case, raw, torch.zeros(3, dtype=torch.int32))
    assert device.num_plans == 3
    metadata = get_mla_metadata()[0]
    metadata.tile_scheduler_metadata = raw
    for _ in range(3):
        plan_of_call(case, metadata)
    assert device.num_plans == 6
    metadata.tile_scheduler_metadata = None  # the caller's are gone: planned once, and kept
    for _ in range(3):
        plan_of_call(case, metadata)
    assert device.num_plans == 7


def test_reset_metadata_are_planned_again(device, case):
    metadata = get_mla_metadata()[0]
    first = plan_of_call(case, metadata)
    metadata.have_initialized = False
    assert plan_of_call(case, metadata) is not first and metadata.have_initialized
    metadata.have_initialized, metadata.config = False, None
    metadata.tile_scheduler_metadata = metadata.num_splits = None
    workspace = plan_of_call(case, metadata)
    assert plan_of_call(case, metadata) is workspace
    assert device.num_plans == 3 and metadata.tile_scheduler_metadata is not None


@pytest.fixture
def driver(monkeypatch):
    """What CUDA's driver and torch say of the current stream of device 0."""
    state = types.SimpleNamespace(error=0, status=0, capture=0, asked=[])

    def capture_info(stream, status, capture, *nothing):
        state.asked.append(stream.value)
        assert nothing == (None, None, None)
        status._obj.value, capture._obj.value = state.status, state.capture
        return state.error

    library = types.SimpleNamespace(cuStreamGetCaptureInfo_v2=capture_info)
    monkeypatch.setattr(planning, "_driver", lambda: library)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: state.status == 1)
    return state


def test_captures_are_told_apart_by_the_driver(driver):
    assert planning._capture_of(0x55, 0) == 0 and planning._capture_of(0, 1) == 0
    assert driver.asked == []
    driver.status, driver.capture = 1, 2**40 + 3
    assert planning._capture_of(0x55, 0) == 2**40 + 3
    assert driver.asked == [0x55]


def test_streams_of_other_devices_are_asked_for_too(driver):
    driver.capture = 9  # left over: not capturing
    assert planning._capture_of(0x77, 1) == 0
    assert driver.asked == [0x77]
    driver.error = 400
    with pytest.raises(RuntimeError, match="^cuStreamGetCaptureInfo: failed with 400"):
        planning._capture_of(0x77, 1)
