"""The program of docs/flash_mla.md and the example for PyTorch run and print what they should."""

import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

ROOT = pathlib.Path(__file__).parents[2]


def output_of(program):
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_program_of_the_page(tmp_path):
    page = (ROOT / "docs" / "flash_mla.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    path = tmp_path / "program.py"
    path.write_text(program)
    assert output_of(path) == re.search(r"print\(.*?\)  # (.*)", program)[1]


EXAMPLE = ROOT / "examples" / "python" / "decode_steps_torch.py"


def test_example():
    printed = output_of(EXAMPLE)
    assert printed == "[170, 73, 260] 0.50 0.50"


def test_mypy_accepts_the_example(tmp_path):
    pytest.importorskip("mypy", reason="checks types")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), EXAMPLE]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout
