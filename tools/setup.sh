#!/usr/bin/env bash
# Installs the system packages that a goal of the Makefile needs, through apt, and says so first.
# Does nothing where all of them are there. Usage: tools/setup.sh [GOAL]
# GOAL: demo, test, python, bench, coverage, fuzz or lint
set -euo pipefail

build_packages=(g++ cmake ninja-build libfmt-dev nlohmann-json3-dev libcli11-dev libopenblas-dev)
test_packages=(libgtest-dev libgmock-dev python3 pkgconf ccache)
python_packages=(g++ cmake ninja-build libfmt-dev python3-dev python3-venv ccache)
bench_packages=(libdnnl-dev libbenchmark-dev)
coverage_packages=(gcovr)
fuzz_packages=(clang llvm)
lint_packages=(clang-format clang-tidy shellcheck)

say() { printf 'setup: %s\n' "$*" >&2; }

goal=${1:-demo}
case "$goal" in
  demo) packages=("${build_packages[@]}") ;;
  test) packages=("${build_packages[@]}" "${test_packages[@]}") ;;
  python) packages=("${python_packages[@]}") ;;
  bench) packages=("${build_packages[@]}" "${bench_packages[@]}") ;;
  coverage) packages=("${build_packages[@]}" "${test_packages[@]}" "${coverage_packages[@]}") ;;
  fuzz) packages=("${build_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}") ;;
  lint)
    packages=("${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}")
    packages+=("${lint_packages[@]}")
    ;;
  *)
    say "unknown goal '$goal'; must be demo, test, python, bench, coverage, fuzz or lint"
    exit 2
    ;;
esac

has_header() { echo "#include <$1>" | "${CXX:-c++}" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; }
has_python_header() {
  python3 -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null
}
has_command() { command -v "$1" >/dev/null 2>&1; }

# Whether what a package is wanted for is there, however it came to this machine.
is_usable() {
  case "$1" in
    g++) has_command "${CXX:-c++}" && has_header concepts ;;
    cmake | clang | clang-format | clang-tidy | shellcheck | gcovr | python3) has_command "$1" ;;
    ccache) has_command ccache || ! has_command apt-get ;; # without it more is compiled twice
    python3-dev) has_python_header ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    ninja-build) has_command ninja ;;
    pkgconf) has_command pkg-config ;;
    llvm) has_command llvm-profdata && has_command llvm-cov ;;
    libfmt-dev) has_header fmt/format.h ;;
    nlohmann-json3-dev) has_header nlohmann/json.hpp ;;
    libcli11-dev) has_header CLI/CLI.hpp ;;
    libopenblas-dev) has_header cblas.h || has_header openblas/cblas.h ;;
    libgtest-dev) has_header gtest/gtest.h ;;
    libgmock-dev) has_header gmock/gmock.h ;;
    libdnnl-dev) has_header dnnl.hpp ;;
    libbenchmark-dev) has_header benchmark/benchmark.h ;;
    libclang-rt-*) ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

list_missing() {
  local installed package
  installed=$(dpkg-query -W -f='${Status}\t${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^install ok installed\t//p' || true)
  for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<<"$installed" || is_usable "$package" || echo "$package"
  done
}

install_with_apt() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! has_command sudo; then
      say "these packages are missing: $*"
      say "not root, and no sudo: have an administrator run: apt-get install $*"
      exit 1
    fi
    as_root=(sudo)
  fi
  say "'make $goal' needs system packages that are not there; installing with apt-get:"
  say "  $*"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  say "done"
}

install_missing() {
  local missing
  mapfile -t missing < <(list_missing)
  [ "${#missing[@]}" -eq 0 ] && return
  if ! has_command apt-get; then
    say "no apt-get on this system, and these are missing (named as Debian's packages):"
    printf 'setup:   %s\n' "${missing[@]}" >&2
    say "install their equivalents, then run 'make $goal' again"
    exit 1
  fi
  install_with_apt "${missing[@]}"
}

install_missing
if [ "$goal" = fuzz ]; then
  # clang's own runtime (libFuzzer, sanitizers) is a package that carries clang's version.
  clang_version=$(clang -dumpversion | cut -d. -f1)
  packages=("libclang-rt-$clang_version-dev")
  install_missing
fi
