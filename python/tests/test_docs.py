"""The quick start of docs/python.md runs, and type checkers know the package."""

import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "python.md"
PROGRAM = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


def test_quick_start(tmp_path):
    program = tmp_path / "quick_start.py"
    program.write_text(PROGRAM)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("(2, 1, 16, 512) 0.5\n")


def test_mypy_accepts_the_quick_start(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "quick_start.py"
    program.write_text(PROGRAM + "sm.decode(plan, q, kv_cache, executor=3)\n")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "Found 1 error" in run.stdout, run.stdout  # the last line alone
    assert 'Argument "executor"' in run.stdout


def test_mypy_accepts_the_package(tmp_path):
    pytest.importorskip("mypy")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "-m",
         "seesaw_mla", "-m", "seesaw_mla._frameworks"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.stdout.startswith("Success"), run.stdout


def test_imports_no_framework():
    program = "import sys, seesaw_mla; print({'torch', 'jax', 'cupy', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
