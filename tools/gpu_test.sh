#!/usr/bin/env bash
# Builds the GPU tests (CMake preset `cuda`) and runs them on this machine's first CUDA device.
#   tools/gpu_test.sh [GoogleTest flags]       all tests, or those of --gtest_filter
#   tools/gpu_test.sh --sanitize [TOOL...]     the small ones under compute-sanitizer: memcheck,
#                                              racecheck, synccheck and initcheck, or those named
# SEESAW_GPU_TESTS names a program that is built already (it needs nothing but libc).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
program=${SEESAW_GPU_TESTS:-}
if [ -z "$program" ]; then
  cmake --preset cuda -DSEESAW_CUDA=ON
  cmake --build --preset cuda --parallel "${JOBS:-$(nproc)}" --target seesaw_gpu_tests
  program=build/cuda/tests/gpu/seesaw_gpu_tests
fi
if [ "${1:-}" != --sanitize ]; then
  exec "$program" --gtest_brief=1 "$@"
fi
shift
[ $# -gt 0 ] || set -- memcheck racecheck synccheck initcheck
for tool in "$@"; do
  echo "compute-sanitizer --tool $tool"
  options=()
  if [ "$tool" = memcheck ]; then options=(--leak-check full); fi
  compute-sanitizer --tool "$tool" "${options[@]}" --error-exitcode 86 --print-limit 20 \
    "$program" --gtest_brief=1 --gtest_filter='*Small*'
done
