"""Problems and devices are values: text, equality, copies, pickles."""

import copy
import pickle

import pytest

import seesaw_mla as sm


def problem(**fields):
    return sm.AttentionProblem(
        **{"batch": 3, "q_dtype": sm.DType.FLOAT16, "softmax_scale": 0.25, **fields}
    )


def device(**fields):
    spec = sm.probe_cpu()
    spec.name = "a 'name'"
    for name, value in fields.items():
        setattr(spec, name, value)
    return spec


OTHERS = [
    (problem, {"batch": 4}),
    (problem, {"softmax_scale": None}),
    (problem, {"mask": sm.Mask.CAUSAL}),
    (problem, {"has_attn_sink": True}),
    (device, {"num_workers": 77}),
    (device, {"cpu_isa": sm.CpuIsa.GENERIC, "sm_arch": 90}),
]


@pytest.mark.parametrize("make, change", OTHERS)
def test_equality_is_that_of_the_fields(make, change):
    assert make() == make() and not make() != make()
    assert make() != make(**change) and make(**change) == make(**change)
    assert make() != 3 and make() != None  # noqa: E711
    with pytest.raises(TypeError, match="unhashable"):
        hash(make())


@pytest.mark.parametrize("make, change", OTHERS)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_copies(make, change, duplicate):
    one = make(**change)
    two = duplicate(one)
    assert two == one and two is not one
    for name in change:
        setattr(two, name, getattr(make(), name))
    assert two == make() and one == make(**change)


@pytest.mark.parametrize("change", [change for make, change in OTHERS if make is problem])
def test_text_of_a_problem_makes_it(change):
    assert eval(repr(problem(**change)), vars(sm)) == problem(**change)


def test_texts():
    assert repr(device()).startswith("DeviceSpec(kind=DeviceKind.CPU, name=\"a 'name'\", num_work")
    plan = sm.plan(problem(kv_format=sm.KvFormat.FLOAT16), sm.probe_cpu(), [1, 2, 3])
    assert repr(plan) == f"<seesaw_mla.Plan: {plan.kernel_name}, 3 requests>"
    assert str(plan) == sm.explain(plan)


@pytest.fixture
def planned():
    return sm.plan(problem(kv_format=sm.KvFormat.FLOAT16), sm.probe_cpu(), [1, 2, 3])


def test_a_plans_problem_cannot_be_changed(planned):
    match = "^plan.problem.batch: is read-only, must be set in a copy of plan.problem"
    with pytest.raises(AttributeError, match=match):
        planned.problem.batch = 4
    with pytest.raises(AttributeError):
        del planned.problem.batch
    with pytest.raises(AttributeError):
        planned.problem = problem()
    assert planned.problem.batch == 3


def test_a_plans_problem_is_a_problem(planned):
    one = planned.problem
    assert isinstance(one, sm.AttentionProblem)
    assert one == problem(kv_format=sm.KvFormat.FLOAT16) and one != problem()
    assert eval(repr(one), vars(sm)) == one
    assert sm.plan(one, sm.probe_cpu(), [4, 5, 6]).problem == one
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_copies_of_a_plans_problem_can_be_changed(planned, duplicate):
    two = duplicate(planned.problem)
    assert type(two) is sm.AttentionProblem and two == planned.problem
    two.batch = 4
    assert two.batch == 4 and planned.problem.batch == 3


@pytest.mark.parametrize("scale", [1e300, -1e39, 10**300])
def test_scales_beyond_float32_are_named_as_given(scale):
    match = rf"^softmax_scale: is {float(scale)}, must be a float32 number, in \[-3.4028\d+e\+38, "
    match = match.replace("e+", r"e\+", 1)
    with pytest.raises(sm.InvalidArgumentError, match=match):
        problem(softmax_scale=scale)
    one = problem()
    with pytest.raises(sm.InvalidArgumentError, match=match):
        one.softmax_scale = scale
    assert one == problem()


@pytest.mark.parametrize("scale", [float("inf"), float("-inf"), float("nan"), 3.4e38])
def test_other_scales_are_refused_by_plan(scale):
    with pytest.raises(sm.InvalidArgumentError, match="problem.softmax_scale: is -?(inf|nan|3.4e)"):
        sm.plan(problem(softmax_scale=scale), sm.probe_cpu(), [1, 2, 3])


@pytest.mark.parametrize("state", [{}, {"batch": "three"}])
def test_bad_states(state):
    with pytest.raises((KeyError, TypeError)):
        sm.AttentionProblem.__new__(sm.AttentionProblem).__setstate__(state)


def test_splits_are_named_as_they_are_given():
    one = problem(kv_format=sm.KvFormat.FLOAT16)
    plan = sm.plan(one, sm.probe_cpu(), [1, 2, 3])
    for call in (
        lambda: sm.plan(one, sm.probe_cpu(), [1, 2, 3], num_splits=0),
        lambda: sm.replan(plan, [1, 2, 3], num_splits=0),
    ):
        with pytest.raises(sm.InvalidArgumentError, match="^num_splits: is 0"):
            call()
