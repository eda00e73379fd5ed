#!/usr/bin/env bash
# Builds seesaw_bench_gpu (CMake preset `cuda`), runs it on this machine's first CUDA device and keeps
# its JSON under benchmarks/results/. All arguments are the program's: --quick, --filter, --rounds ...
# SEESAW_BENCH_GPU names a program that is built already; SEESAW_BENCH_JSON another file.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
program=${SEESAW_BENCH_GPU:-}
if [ -z "$program" ]; then
  cmake --preset cuda -DSEESAW_CUDA=ON -DSEESAW_BUILD_BENCHMARKS=ON -DSEESAW_BENCHMARK_CPU=OFF
  cmake --build --preset cuda --parallel "${JOBS:-$(nproc)}" --target seesaw_bench_gpu
  program=build/cuda/benchmarks/gpu/seesaw_bench_gpu
fi
exec "$program" --json "${SEESAW_BENCH_JSON:-benchmarks/results/gpu.json}" "$@"
