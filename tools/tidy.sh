#!/usr/bin/env bash
# Runs clang-tidy on every C++ file that a build for the CPU compiles, benchmarks among them, and says
# which it leaves out. Usage: tools/tidy.sh [JOBS]
set -euo pipefail
cd -P "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
build=build/lint

say() { printf 'tidy: %s\n' "$*" >&2; }

cmake --preset cpu -B "$build" -DSEESAW_BUILD_BENCHMARKS=ON >/dev/null
cmake --build "$build" --target seesaw_bench_facts >/dev/null # a header that is made

# A file without a command of its own would be read with another's: not found are its headers then.
compiled=() left_out=()
while IFS= read -r -d '' file; do
  if grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json"; then
    compiled+=("$file")
  else
    left_out+=("$file")
  fi
done < <(tools/sources.sh '*.cc' ':!python')
say "${#compiled[@]} files; no part of a build for the CPU: ${left_out[*]:-none}"
printf '%s\0' "${compiled[@]}" | xargs -0 -n 4 -P "$jobs" clang-tidy -p "$build" --quiet
