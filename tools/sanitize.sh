#!/usr/bin/env bash
# Builds a sanitizer preset and runs its tests. Usage: tools/sanitize.sh asan-ubsan|tsan [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
jobs=${2:-$(nproc)}

say() { printf 'sanitize: %s\n' "$*" >&2; }

# A sanitizer's runtime maps its shadow at fixed addresses; a kernel that randomizes addresses with
# more bits than the runtime expects may stop it at start. Then the tests run without randomization.
runner=()
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
case "$preset" in
  asan-ubsan) flags=(-fsanitize=address -fsanitize=undefined) ;;
  tsan) flags=(-fsanitize=thread) ;;
  *)
    say "unknown preset '$preset'; must be asan-ubsan or tsan"
    exit 2
    ;;
esac
echo 'int main() { return 0; }' >"$probe/probe.cc"
"${CXX:-c++}" "${flags[@]}" "$probe/probe.cc" -o "$probe/probe"
runs() {
  local tries=10  # whether the addresses collide differs from start to start
  while ((tries-- > 0)); do "$@" "$probe/probe" >/dev/null 2>&1 || return 1; done
}
if ! runs env; then
  if runs setarch -R; then
    say "this kernel's address randomization stops the runtime; the tests run without it"
    runner=(setarch -R)
  else
    say "a program built with ${flags[*]} does not start on this machine:"
    "$probe/probe" || exit 1
  fi
fi

cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$jobs"
# left_out.txt: what this run leaves out, a line for each reason (.ci/run repeats them).
{
  printf 'tests that run no instrumented code: '
  "${runner[@]}" ctest --test-dir "build/$preset" -N -L '^builds-nothing-instrumented$' |
    sed -n 's/^ *Test *#[0-9]*: //p' | paste -sd ' '
  if [ -s "build/$preset/programs_left_out.txt" ]; then
    printf 'test programs that start no thread, and are stopped in other builds if they do: '
    paste -sd ' ' "build/$preset/programs_left_out.txt"
  fi
  echo 'rounds and lengths of the tests that name two sizes (run_size): the smaller is run'
} >"build/$preset/left_out.txt"
sed 's/^/sanitize: left out: /' "build/$preset/left_out.txt" >&2
"${runner[@]}" ctest --preset "$preset"
