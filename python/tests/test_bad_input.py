"""Bad input of every kind raises what docs/python.md says, with the argument's name."""

import numpy as np
import pytest
from decode_case import Case

import seesaw_mla as sm


@pytest.fixture
def case(rng):
    return Case(rng)


def read_only(array):
    array.flags.writeable = False
    return array


ARRAYS = ["q", "kv_cache", "block_table", "out", "lse"]
GOOD = {
    "q": lambda case: case.q,
    "kv_cache": lambda case: case.cache,
    "block_table": lambda case: case.table,
    "out": lambda case: np.empty(case.shapes["out"], np.float32),
    "lse": lambda case: np.empty(case.shapes["lse"], np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("dtype", ["float64", "int8", "bool", "complex64", "float16", "uint16"])
def test_wrong_dtype(case, name, dtype):
    with pytest.raises(sm.InvalidArgumentError, match=name):
        case.run(**{name: np.zeros(GOOD[name](case).shape, dtype)})


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("change", ["drop", "add", "scalar", "rank 6", "longer", "shorter"])
def test_wrong_shape(case, name, change):
    array = GOOD[name](case)
    changed = {
        "drop": lambda: array[0],
        "add": lambda: array[None],
        "scalar": lambda: np.zeros((), array.dtype),
        "rank 6": lambda: np.zeros((1,) * 6, array.dtype),
        "longer": lambda: np.zeros((*array.shape[:-1], array.shape[-1] + 1), array.dtype),
        "shorter": lambda: array[..., :-1],
    }[change]()
    if name == "block_table" and change == "longer":
        pytest.skip("a wider table is a good one")
    with pytest.raises(sm.InvalidArgumentError, match=name):
        if name == "block_table" and change == "shorter":
            changed = array[:, :1]
        case.run(**{name: changed})


@pytest.mark.parametrize("name", ["q", "kv_cache", "out"])
def test_last_dimension_is_not_contiguous(case, name):
    array = GOOD[name](case)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    with pytest.raises(sm.InvalidArgumentError, match=name):
        case.run(**{name: wide[..., ::2]})


@pytest.mark.parametrize("name", ["out", "lse"])
def test_read_only_output(case, name):
    with pytest.raises(sm.InvalidArgumentError, match=f"{name}: is read-only"):
        case.run(**{name: read_only(GOOD[name](case))})


def test_output_that_overlaps_itself(case):
    one_row = np.empty((1, 1, 1, 64), np.float32)
    out = np.lib.stride_tricks.as_strided(one_row, case.shapes["out"], (0, 0, 0, 4))
    with pytest.raises(sm.InvalidArgumentError, match="out"):
        case.run(out=out)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "value", [3, "text", [[1.0]], object(), {}, np.array(["a"]), np.array([{}])]
)
def test_no_array(case, name, value):
    with pytest.raises(TypeError, match=f"{name}: is "):
        case.run(**{name: value})


@pytest.mark.parametrize("name", ["q", "kv_cache"])
def test_none(case, name):
    with pytest.raises(TypeError, match=f"{name}: is NoneType"):
        case.run(**{name: None})


def test_no_block_table(case):
    with pytest.raises(sm.InvalidArgumentError, match="block_table"):
        case.run(block_table=None)


def test_sink_that_was_not_announced(case):
    with pytest.raises(sm.InvalidArgumentError, match="attn_sink"):
        case.run(attn_sink=np.zeros(4, np.float32))


@pytest.mark.parametrize("page", [-1, 1000, 2**31 - 1, -(2**31)])
def test_pages_outside_the_cache(case, page):
    case.table[0, 3] = page
    with pytest.raises(sm.CorruptDataError, match=r"block_table\[0, 3\]"):
        case.run()


def test_broken_exporters(case):
    class Lies:
        def __dlpack__(self, **options):
            return 3

        def __dlpack_device__(self):
            return (1, 0)

    class Raises(Lies):
        def __dlpack__(self, **options):
            raise RuntimeError("no")

    for broken in (Lies(), Raises(), Lies):
        with pytest.raises(TypeError, match="q: is "):
            case.run(q=broken)
    case.check(*case.run())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("method", ["__dlpack__", "__dlpack_device__"])
def test_what_is_not_about_the_argument_goes_on(case, error, method):
    class Array:
        def __dlpack__(self, **options):
            return case.q.__dlpack__(**options)

        def __dlpack_device__(self):
            return (1, 0)

    case.check(*case.run(q=Array()))

    def fail(self, **options):
        raise error("stop")

    setattr(Array, method, fail)
    with pytest.raises(error, match="stop"):
        case.run(q=Array())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_numbers_that_raise(case, error):
    class Number:
        def __index__(self):
            raise error("stop")

    with pytest.raises(error, match="stop"):
        sm.plan(case.problem, sm.probe_cpu(), [1, 2, 3, Number()])


@pytest.mark.parametrize(
    "name, types",
    [
        ("block_table", "int32"),
        ("attn_sink", "float32"),
        ("lse", "float32"),
        ("workspace", "uint8"),
        ("q", r"float32, bfloat16 \(or its bits as uint16\), float16 or float8_e4m3fn"),
    ],
)
def test_types_that_are_named(case, name, types):
    match = f"{name}.dtype: is float64, must be {types}$"
    with pytest.raises(sm.InvalidArgumentError, match=match):
        case.run(**{name: np.zeros((4, 4), np.float64)})


@pytest.mark.parametrize(
    "lengths, error",
    [
        ([1, 2, 3], sm.InvalidArgumentError),
        ([1, 2, 3, -4], sm.InvalidArgumentError),
        ([1, 2, 3, 2**31], sm.InvalidArgumentError),
        ([1, 2, 3, 4.0], TypeError),
        ([1, 2, 3, None], TypeError),
        ([1, 2, 3, "4"], TypeError),
        (7, TypeError),
        ("1234", TypeError),
        (None, sm.InvalidArgumentError),
        (np.ones(4, np.int64), sm.InvalidArgumentError),
        (np.ones(4, np.float32), sm.InvalidArgumentError),
        (np.ones((4, 1), np.int32), sm.InvalidArgumentError),
        (np.int32(4), sm.InvalidArgumentError),
    ],
)
def test_lengths(case, lengths, error):
    with pytest.raises(error, match="kv_lengths"):
        sm.plan(case.problem, sm.probe_cpu(), lengths)
    before = case.plan.kv_lengths
    with pytest.raises(error, match="kv_lengths"):
        sm.replan(case.plan, lengths)
    assert case.plan.kv_lengths == before
    case.check(*case.run())


@pytest.mark.parametrize(
    "fields",
    [{"h_q": 0}, {"batch": -1}, {"d_v": 2000}, {"page_size": 0}, {"h_kv": 3}, {"s_q": 2**62}],
)
def test_problems(fields):
    with pytest.raises(sm.SeesawError, match=next(iter(fields))):
        sm.plan(sm.AttentionProblem(**{"batch": 1, **fields}), sm.probe_cpu(), [5])


def test_arguments_of_other_types(case):
    with pytest.raises(TypeError):
        sm.AttentionProblem(batch="two")
    with pytest.raises(TypeError):
        sm.AttentionProblem(batch=2**63)
    with pytest.raises(TypeError):
        sm.plan(None, sm.probe_cpu(), [1])
    with pytest.raises(TypeError):
        sm.decode(None, case.q, case.cache, case.table, executor=case.executor)
    with pytest.raises(TypeError):
        case.run(executor=3)


def test_unsupported(case):
    case.problem.kv_format = sm.KvFormat.FP8_V32
    with pytest.raises(sm.UnsupportedError) as error:
        sm.plan(case.problem, sm.probe_cpu(), case.lengths)
    assert isinstance(error.value, (sm.SeesawError, NotImplementedError))


def test_executors(case):
    for count in (-1, -(2**31)):
        with pytest.raises(sm.InvalidArgumentError):
            sm.Executor.cpu(count)
    with pytest.raises(sm.InvalidArgumentError):
        sm.Executor.cuda(-1)
    with pytest.raises(sm.InvalidArgumentError, match="q: is on the CPU, must be on cuda:0"):
        case.run(executor=sm.Executor.cuda())


def test_device_lengths_need_a_cuda_device(case):
    with pytest.raises(sm.UnsupportedError):
        sm.plan_for_device_lengths(case.problem, sm.probe_cpu())


def misaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    return memory[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize("name", ARRAYS)
def test_misaligned_data(case, name):
    with pytest.raises((sm.InvalidArgumentError, TypeError), match=name):
        case.run(**{name: misaligned(GOOD[name](case))})


@pytest.mark.parametrize("name", ARRAYS)
def test_bytes_in_the_other_order(case, name):
    array = GOOD[name](case)
    with pytest.raises((sm.InvalidArgumentError, TypeError), match=name):
        case.run(**{name: array.astype(array.dtype.newbyteorder())})


@pytest.mark.parametrize("name", ARRAYS)
def test_records(case, name):
    with pytest.raises((sm.InvalidArgumentError, TypeError), match=name):
        case.run(**{name: np.zeros(GOOD[name](case).shape, [("x", "f4")])})


def test_prefill_of_a_decode_plan(case):
    with pytest.raises(sm.InvalidArgumentError):
        sm.prefill(case.plan, case.q[0], case.cache, case.table, executor=case.executor)


def test_exceptions_are_pythons_own_too():
    assert issubclass(sm.InvalidArgumentError, ValueError)
    assert issubclass(sm.UnsupportedError, NotImplementedError)
    assert issubclass(sm.OutOfMemoryError, MemoryError)
    for error in (sm.OutOfPagesError, sm.CorruptDataError, sm.DeviceError, sm.IoError):
        assert issubclass(error, sm.SeesawError)
