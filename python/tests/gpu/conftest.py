"""Tests that need a CUDA device; without one each is skipped and says so."""

import os

import pytest

import seesaw_mla as sm

# Frameworks share the device in one process here.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@pytest.fixture(autouse=True)
def device():
    """The first device's facts."""
    if not sm.is_built_with_cuda():
        pytest.skip("seesaw_mla is built without CUDA")
    devices = sm.probe_cuda()
    if not devices:
        pytest.skip("no CUDA device")
    return devices[0]
