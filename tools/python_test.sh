#!/usr/bin/env bash
# Builds the Python package, without the GPU part, in a virtual environment under build/ and runs
# its tests there. pip fetches what it needs from PyPI. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/python/venv
[ -x "$venv/bin/pytest" ] || python3 -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install 'scikit-build-core>=0.10' 'nanobind>=3.1' 'numpy>=1.25' ml_dtypes pytest mypy
# Without isolation: pip's own environments are new ones each time, and so would every object be.
"${pip[@]}" install --no-build-isolation --no-deps . --config-settings=cmake.define.SEESAW_CUDA=OFF
"$venv/bin/python" -m pytest -q "$@"
