#!/usr/bin/env bash
# Builds the GPU tests (CMake preset `cuda`) and runs them on this machine's first CUDA device.
#   tools/gpu_test.sh [GoogleTest flags]       all tests, or those of --gtest_filter; with times
#   tools/gpu_test.sh --groups SECONDS [NAME...]
#                                              one test suite after the other, or those whose names
#                                              contain a NAME, in the order of the names; each is
#                                              ended after so many seconds. A line for each, what
#                                              failed at the end; logs in build/gpu_test
#   tools/gpu_test.sh --sanitize [TOOL...]     the small ones under compute-sanitizer: memcheck,
#                                              racecheck, synccheck and initcheck, or those named
# SEESAW_GPU_TESTS names a program that is built already (it needs nothing but libc);
# SEESAW_GPU_TEST_LOGS another folder for logs. Several machines share the work by GoogleTest's
# GTEST_TOTAL_SHARDS and GTEST_SHARD_INDEX.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
program=${SEESAW_GPU_TESTS:-}
if [ -z "$program" ]; then
  cmake --preset cuda -DSEESAW_CUDA=ON
  cmake --build --preset cuda --parallel "${JOBS:-$(nproc)}" --target seesaw_gpu_tests
  program=build/cuda/tests/gpu/seesaw_gpu_tests
fi

# Number in a log's line "[  WORD  ] NUMBER test(s)...", or 0.
count_of() { sed -n "s/^\[ *$1 *\] \([0-9]*\) tests\{0,1\}[.,].*/\1/p" "$2" | tail -1 | grep . || echo 0; }

# Runs test suite $1 for at most $2 seconds, logs to $3, and prints its line of the table.
run_group() {
  local suite=$1 limit=$2 log=$3 begin tenths rc=0 verdict
  begin=$(date +%s%N)
  timeout --kill-after=5 "$limit" "$program" --gtest_filter="$suite.*" >"$log" 2>&1 || rc=$?
  case $rc in
    0) if [ "$(count_of PASSED "$log")" = 0 ]; then verdict=skipped; else verdict=passed; fi ;;
    1) verdict=FAILED ;;
    124 | 137) verdict="TIMED OUT" ;;
    *) verdict="DIED ($rc)" ;;
  esac
  tenths=$((($(date +%s%N) - begin) / 100000000))
  printf '%-12s %5d.%d s %6s passed %4s failed %4s skipped  %s\n' "$verdict" $((tenths / 10)) \
    $((tenths % 10)) "$(count_of PASSED "$log")" "$(count_of FAILED "$log")" \
    "$(count_of SKIPPED "$log")" "$suite"
  [ "$rc" = 0 ]
}

run_groups() {
  local limit=$1 logs=${SEESAW_GPU_TEST_LOGS:-build/gpu_test} failed=() suites=() all name suite log
  shift
  mkdir -p "$logs"
  mapfile -t all < <("$program" --gtest_list_tests | sed -n 's/^\([A-Za-z/]*\)\..*/\1/p')
  [ $# -gt 0 ] || set -- ""
  for name in "$@"; do
    for suite in "${all[@]}"; do
      if [[ $suite == *"$name"* && " ${suites[*]-} " != *" $suite "* ]]; then suites+=("$suite"); fi
    done
  done
  for suite in "${suites[@]}"; do
    log=$logs/${suite//\//_}.log
    run_group "$suite" "$limit" "$log" || failed+=("$log")
  done
  for log in "${failed[@]}"; do
    echo "--- $log"
    grep -m 3 -A 8 'Failure$' "$log" || tail -3 "$log"
    grep '^\[  FAILED  \] .*[0-9]*)$' "$log" || true
  done
  echo "${#suites[@]} groups, ${#failed[@]} of them failed"
  [ ${#failed[@]} = 0 ]
}

case ${1:-} in
  --groups)
    shift
    run_groups "$@"
    exit
    ;;
  --sanitize) shift ;;
  *) exec "$program" "$@" ;;
esac
[ $# -gt 0 ] || set -- memcheck racecheck synccheck initcheck
for tool in "$@"; do
  echo "compute-sanitizer --tool $tool"
  options=()
  if [ "$tool" = memcheck ]; then options=(--leak-check full); fi
  compute-sanitizer --tool "$tool" "${options[@]}" --error-exitcode 86 --print-limit 20 \
    "$program" --gtest_brief=1 --gtest_filter='*Small*'
done
