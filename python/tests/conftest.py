"""Random inputs of the tests: new ones each run; SEESAW_TEST_SEED=N gives the same again."""

import os
import secrets

import numpy as np
import pytest

SEED = int(os.environ.get("SEESAW_TEST_SEED") or secrets.randbits(31))


def pytest_report_header():
    return f"SEESAW_TEST_SEED={SEED}"


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)
