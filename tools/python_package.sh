#!/usr/bin/env bash
# Builds the Python package with its GPU part and unpacks it, with pytest and ml_dtypes beside it,
# into a folder that PYTHONPATH may name: for machines where nothing can be installed.
#   tools/python_package.sh FOLDER
# PYTHON names the interpreter (python3); what 3.12 or newer builds serves every newer one. Needs
# nvcc, no device; pip fetches the rest from PyPI.
set -euo pipefail
folder=$(realpath -m "${1:?usage: tools/python_package.sh FOLDER}")
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# The compiler by the name that CMake finds otherwise, not the one Python was built with: ccache tells
# them apart, and the library's objects are to be those of the tests.
export CC=${CC:-cc} CXX=${CXX:-c++}
root=build/python/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ -e "$folder" ] && [ ! -d "$folder/seesaw_mla" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "python_package: $folder holds other things; name a new folder" >&2
  exit 2
fi

[ -x "$root/build/bin/pip" ] || "$python" -m venv "$root/build"
pip=("$root/build/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install 'scikit-build-core>=0.10' 'nanobind>=3.1'
rm -rf "$root/cuda_wheel" "$folder"
"${pip[@]}" wheel . --no-build-isolation --no-deps --wheel-dir "$root/cuda_wheel" \
  --config-settings=cmake.define.SEESAW_CUDA=ON --config-settings=build-dir="$root/cuda_build"
# Not numpy: the frameworks of that machine brought the one that they go with.
"${pip[@]}" install --target "$folder" pytest
"${pip[@]}" install --no-deps --target "$folder" "$root"/cuda_wheel/*.whl ml_dtypes
rm -rf "${folder:?}/bin"
du -h "$root"/cuda_wheel/*.whl "$folder"/seesaw_mla/_core*.so
