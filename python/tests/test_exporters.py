"""Producers that say of their memory what no framework would."""

import numpy as np
import pytest
from decode_case import Case
from hand_made_array import HandMadeArray

import seesaw_mla as sm


@pytest.fixture
def case(rng):
    return Case(rng)


# ---- shapes and types that no framework exports ----


@pytest.mark.parametrize("size", [-1, -5, -(2**63)])
def test_negative_workspace(case, size):
    workspace = HandMadeArray((size,), code=1, bits=8)
    match = rf"workspace.shape\[0\]: is {size}, must be >= plan.workspace_bytes$"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        case.run(workspace=workspace)
    with pytest.raises(sm.InvalidArgumentError, match=match):
        sm.prepare(case.plan, workspace=workspace)


@pytest.mark.parametrize("size", [-1, -2, -(2**63), 2**31, 2**63 - 1])
def test_numbers_of_lengths_that_no_batch_has(case, size):
    lengths = HandMadeArray((size,), code=0)
    match = rf"lengths.shape\[0\]: is {size}, must be in \[0, 2147483647\]$"
    with pytest.raises(sm.InvalidArgumentError, match="^kv_" + match):
        sm.plan(case.problem, sm.probe_cpu(), lengths)
    with pytest.raises(sm.InvalidArgumentError, match="^kv_" + match):
        sm.replan(case.plan, lengths)
    with pytest.raises(sm.InvalidArgumentError, match="^q_" + match):
        sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=lengths)


@pytest.mark.parametrize("size", [-1, -(2**63)])
def test_negative_shapes_of_arrays_that_results_are_made_for(rng, size):
    case = Case(rng, lengths=(5, 9), s_q=3)
    case.problem.phase = sm.Phase.PREFILL
    plan = sm.plan(case.problem, sm.probe_cpu(), case.lengths, q_lengths=[3, 2])
    q = HandMadeArray((size, case.problem.h_q, case.problem.d_qk))
    with pytest.raises(sm.InvalidArgumentError, match=rf"^q.shape\[0\]: is {size}, must be "):
        sm.prefill(plan, q, case.cache, case.table)
    for shape in ((2, 4, size, 8), (2, 4, 1, size)):
        cache, table, lengths = HandMadeArray(shape), np.zeros((1, 1), np.int32), [0]
        with pytest.raises(sm.InvalidArgumentError, match=rf"^kv_cache.shape\[.\]: is {size}"):
            sm.kv_cache.gather(cache, table, np.asarray(lengths, np.int32), sm.KvFormat.FLOAT32)
