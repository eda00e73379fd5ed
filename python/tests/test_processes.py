"""Forks, subinterpreters, and an interpreter that ends while calls run."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from decode_case import Case

import seesaw_mla as sm


def run_program(text):
    program = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)


def in_child(call):
    """What `call` returns in a forked process, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = call()
        except BaseException as error:  # must not reach pytest
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_executors_of_the_process_before_a_fork(rng):
    case = Case(rng)
    want = case.run()[0]

    def decode_in_child():
        own = sm.Executor.cpu(2)
        assert np.array_equal(case.run(executor=own)[0], want)
        assert case.executor.num_threads == 2
        try:
            case.run()
        except sm.InvalidArgumentError as error:
            case.executor = None  # frees it
            return str(error)
        return "not refused"

    message = "executor: is of the process that this one was forked from, must be made after"
    assert message in in_child(decode_in_child)
    assert np.array_equal(case.run()[0], want)


IMPORT_AGAIN = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
sys.path[:] = {path!r}
spec = spec_from_file_location("seesaw_mla._core", {file!r})
try:
    spec.loader.exec_module(module_from_spec(spec))
except ImportError as error:
    print("refused:", error, flush=True)
"""
SUBINTERPRETER = """
import _testcapi
import seesaw_mla as sm

_testcapi.run_in_subinterp({again!r})  # knows of no modules that cannot be shared
problem = sm.AttentionProblem(batch=1, h_q=2, d_qk=32, d_v=16, page_size=4)
print(sm.plan(problem, sm.probe_cpu(), [3]).kv_lengths)
"""


def test_subinterpreters_are_refused():
    pytest.importorskip("_testcapi", reason="this Python has no _testcapi")
    again = IMPORT_AGAIN.format(path=sys.path, file=sm._core.__file__)
    result = run_program(SUBINTERPRETER.format(again=again))
    assert result.stdout.splitlines() == [
        "refused: seesaw_mla: cannot be imported in a subinterpreter",
        "[3]",
    ]
    assert (result.returncode, result.stderr) == (0, "")


def test_the_interpreter_may_end_while_daemon_threads_decode():
    result = run_program(
        """
        import threading
        import time
        import numpy as np
        import seesaw_mla as sm

        problem = sm.AttentionProblem(batch=1, h_q=128)
        plan = sm.plan(problem, sm.probe_cpu(), [5000])
        arrays = (np.zeros((1, 1, 128, 576), np.uint16), np.zeros((79, 64, 1, 576), np.uint16),
                  np.arange(79, dtype=np.int32)[None])
        out, lse = sm.decode(plan, *arrays)

        def work():
            while True:
                sm.decode(plan, *arrays, out=out, lse=lse)

        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        print("ends", flush=True)
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "ends\n", "")
