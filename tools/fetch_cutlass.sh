#!/usr/bin/env bash
# Puts the CUTLASS headers into build/_deps/cutlass, from the package that NVIDIA publishes on PyPI,
# pinned by version and checksum, and prints their include folder. Does nothing if they are there.
set -euo pipefail
version=4.2.0.0
sha256=f9599ada45c7bcb6bf53f7d3f0a7d154183e53451c01bfa59eecd37dd4a693f6
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/build/_deps/cutlass-$version
if [[ ! -d $folder/include ]]; then
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  python3 -m pip download --quiet --no-deps --dest "$download" "nvidia-cutlass==$version" >&2
  wheel=$download/nvidia_cutlass-$version-py3-none-any.whl
  echo "$sha256  $wheel" | sha256sum --check --quiet
  python3 -m zipfile -e "$wheel" "$download/unpacked"
  mkdir -p "$folder"
  mv "$download/unpacked/cutlass_library/source/include" "$folder/include"
fi
echo "$folder/include"
