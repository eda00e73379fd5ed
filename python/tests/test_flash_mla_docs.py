"""The program of docs/flash_mla.md runs and prints what it says."""

import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "flash_mla.md"


def test_program(tmp_path):
    program = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    path = tmp_path / "program.py"
    path.write_text(program)
    run = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == re.search(r"print\(.*?\)  # (.*)", program)[1]
