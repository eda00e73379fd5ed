#!/usr/bin/env bash
# Runs the Python tests, those of python/tests/gpu among them, on this machine's first CUDA device.
# Arguments go to pytest. The interpreter is PYTHON, or python3. The package is, in this order,
#   SEESAW_PYTHON_PACKAGE   a folder that holds it unpacked (tools/python_package.sh makes one):
#                           then nothing is built and nothing installed;
#   built here              where nvcc is there;
#   the interpreter's own   if one is installed, with its GPU part.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
package=${SEESAW_PYTHON_PACKAGE:-}
say() { printf 'gpu_python: %s\n' "$*" >&2; }

if [ -z "$package" ] && command -v nvcc >/dev/null; then
  package=$PWD/build/python/cuda_package
  PYTHON=$python tools/python_package.sh "$package"
fi
if [ -n "$package" ]; then
  if [ ! -d "$package/seesaw_mla" ]; then
    say "SEESAW_PYTHON_PACKAGE: is $package, must be a folder that holds seesaw_mla"
    exit 2
  fi
  PYTHONPATH=$(realpath "$package")${PYTHONPATH:+:$PYTHONPATH}
  export PYTHONPATH
fi
"$python" -c '
import importlib.util
import sys
import seesaw_mla
if not seesaw_mla.is_built_with_cuda():
    sys.exit("gpu_python: the package was built without its GPU part")
found = [name for name in ("torch", "jax", "cupy") if importlib.util.find_spec(name)]
print("gpu_python:", seesaw_mla.__file__, "beside", ", ".join(found) or "no framework")'
# No bytecode, no cache: the checkout may be one that is only read.
exec "$python" -B -m pytest -q -rs -p no:cacheprovider "$@"
