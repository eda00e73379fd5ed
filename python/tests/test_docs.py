"""The programs of docs/python.md run, and type checkers know the package."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "python.md"
NUMPY, TORCH = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run_program(folder, text):
    program = folder / "quick_start.py"
    program.write_text(text)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("(2, 1, 16, 512) 0.5\n")


def test_quick_start_with_numpy(tmp_path):
    run_program(tmp_path, NUMPY)


def test_quick_start_with_torch(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    run_program(tmp_path, TORCH)


def mypy(folder, *arguments):
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return run.stdout


def test_mypy_accepts_the_quick_starts(tmp_path):
    pytest.importorskip("mypy")
    programs = {"with_numpy.py": NUMPY}
    if importlib.util.find_spec("torch"):
        programs["with_torch.py"] = TORCH
    for name, text in programs.items():
        (tmp_path / name).write_text(text + "sm.decode(plan, q, kv_cache, executor=3)\n")
    output = mypy(tmp_path, *programs)
    assert f"Found {len(programs)} error" in output, output  # the last lines alone
    assert output.count('Argument "executor"') == len(programs)


def test_mypy_accepts_the_package(tmp_path):
    pytest.importorskip("mypy")
    if importlib.util.find_spec("torch"):
        package = ["-p", "seesaw_mla"]
    else:  # what needs no torch
        parts = ["", "._core", "._frameworks", ".installation", ".kv_cache"]
        package = [argument for part in parts for argument in ("-m", "seesaw_mla" + part)]
    output = mypy(tmp_path, *package)
    assert output.startswith("Success"), output


FRAMEWORKS = "{'torch', 'jax', 'cupy'} & set(sys.modules)"


@pytest.mark.parametrize(
    "program",
    [
        f"import sys, seesaw_mla; print({FRAMEWORKS} | {{'numpy'}} & set(sys.modules))",
        f"import sys\n{NUMPY}\nprint({FRAMEWORKS})",
    ],
)
def test_imports_no_framework(program):
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.endswith("set()\n")
