#!/usr/bin/env bash
# Builds the GPU part (CMake preset `cuda`): the library, the command line, the GPU tests and the GPU
# benchmark, and runs what of their tests needs no GPU: plans and refusals, the machine code that the
# compiler made, the kernels in the emulator, the installed package; then the Python package with its
# GPU part, whose tests run as far as they need no device. Needs nvcc (CUDA 12.8 or newer), no device.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if ! tools/fetch_disassembler.sh >/dev/null; then
  echo "gpu-build: no disassembler could be fetched: the machine code is checked by its PTX" >&2
fi
cmake --preset cuda -DSEESAW_CUDA=ON -DSEESAW_BUILD_BENCHMARKS=ON -DSEESAW_BENCHMARK_CPU=OFF
cmake --build --preset cuda --parallel "${JOBS:-$(nproc)}" --target seesaw_cli seesaw_gpu_tests \
  seesaw_bench_gpu system_cuda_call_test system_c_api_cuda_test seesaw_emulated_gpu_tests
ctest --preset cuda --label-exclude '^gpu$' --tests-regex \
  '^(emulated\.|Cuda|Prepare|DeviceMemory|Problems/Cuda|system_c_api_cuda|architecture\.|package\.static|application\.cli\.info)'

venv=build/python/gpu_build
[ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check --quiet install 'numpy>=1.25'
PYTHON=$venv/bin/python tools/gpu_python.sh
