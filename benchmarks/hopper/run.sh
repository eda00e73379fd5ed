#!/usr/bin/env bash
# Builds and runs the study of the decode schedule: needs nvcc 12.8 or newer and a Hopper GPU.
# Arguments are handed to nvcc, for example -DCLUSTER_MULTICAST.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cutlass=$("$root/tools/fetch_cutlass.sh")
mkdir -p "$root/build/hopper"
program=$root/build/hopper/decode_schedule
nvcc -std=c++17 -O3 --expt-relaxed-constexpr -I "$cutlass" -gencode=arch=compute_90a,code=sm_90a \
  "$@" -o "$program" "$root/benchmarks/hopper/decode_schedule.cu"
"$program"
