#!/usr/bin/env bash
# Builds the Python package's wheel, without the GPU part, installs it in a virtual environment that
# has numpy and nothing of the build, and runs its tests there. pip fetches what it needs from PyPI.
#   tools/python_test.sh [--frameworks] [pytest arguments]
# --frameworks brings PyTorch and JAX too (2 GB to fetch, 5 on the disk), in an environment of its
# own; without it the tests that need them are skipped, unless the interpreter has them already.
# Exits with 75 where there is no room for them, or PyPI does not give them.
# PYTHON names the interpreter (python3).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# The compiler by the name that CMake finds otherwise, not the one Python was built with: ccache tells
# them apart, and the library's objects are to be those of the tests.
export CC=${CC:-cc} CXX=${CXX:-c++}
frameworks=(torch==2.11.0 jax==0.10.2)
environment=numpy
if [ "${1:-}" = --frameworks ]; then
  environment=frameworks
  shift
fi

say() { printf 'python_test: %s\n' "$*" >&2; }
# One folder for each version of Python: what was installed for another cannot be imported.
root=build/python/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# pip reads the network's settings and its own; a failure there is not one of the package.
install() {
  local venv=$1
  shift
  "$venv/bin/python" -m pip --disable-pip-version-check --quiet install "$@" || {
    say "pip could not install: $* (the tests need PyPI, or pip's settings for a mirror)"
    exit 1
  }
}
make_venv() { [ -x "$1/bin/pip" ] || "$python" -m venv "${@:2}" "$1"; }

make_venv "$root/build"
install "$root/build" 'scikit-build-core>=0.10' 'nanobind>=3.1'
# Without isolation: pip's own environments are new ones each time, and so would every object be.
rm -rf "$root/wheel"
"$root/build/bin/python" -m pip --disable-pip-version-check --quiet wheel . --no-build-isolation \
  --no-deps --wheel-dir "$root/wheel" --config-settings=cmake.define.SEESAW_CUDA=OFF
wheel=("$root"/wheel/*.whl)

venv=$root/$environment
site=()
if [ "$environment" = numpy ] && "$python" -c 'import torch' 2>/dev/null; then
  say "$python has PyTorch: its tests are run, in an environment that sees $python's packages"
  venv=$root/system
  site=(--system-site-packages)
fi
make_venv "$venv" "${site[@]}"
if [ "$environment" = frameworks ] && ! "$venv/bin/python" -c 'import torch, jax' 2>/dev/null; then
  free_gib=$(($(df --output=avail -k "$venv" | tail -n 1) >> 20))
  if [ "$free_gib" -lt 12 ]; then
    say "PyTorch and JAX need 12 GiB on the disk while they are installed; $free_gib are free"
    exit 75
  fi
  (install "$venv" --no-compile "${frameworks[@]}") || exit 75
fi
install "$venv" --force-reinstall --no-deps "${wheel[0]}"
install "$venv" 'numpy>=1.25'
# At run time the package needs numpy and nothing else: this comes before what the tests need.
"$venv/bin/python" -c '
import numpy as np
import seesaw_mla as sm
problem = sm.AttentionProblem(batch=1, h_q=1, d_qk=2, d_v=2, page_size=1)
print(sm.explain(sm.plan(problem, sm.probe_cpu(), np.ones(1, np.int32))))' >/dev/null
install "$venv" ml_dtypes pytest mypy
"$venv/bin/python" -m pytest -q -rs "$@"
