#!/usr/bin/env bash
# Puts cuobjdump and nvdisasm, which NVIDIA publishes on PyPI, into build/_deps, pinned by version and
# checksum, and prints their folder. Does nothing if they are there. The machine-code test reads with
# them; where the CUDA toolkit has brought them it needs no others.
set -euo pipefail
version=13.4.92
platform=py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64
cuobjdump_sha256=fb72ca80d0cdd8f5e8e232ce17d3c5aa2a37c3153bb8ef4e010010ed4fdef6c5
nvdisasm_sha256=f35a5b6ddb64b6758c22c0b078c5b6ff6d54f7c240cd74bf131ab5bf13b6c3fe
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/build/_deps/disassembler-$version
if [[ ! -d $folder ]]; then
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$download" \
    "nvidia-cuda-cuobjdump==$version" "nvidia-cuda-nvdisasm==$version" >&2
  (
    cd "$download"
    echo "$cuobjdump_sha256  nvidia_cuda_cuobjdump-$version-$platform.whl"
    echo "$nvdisasm_sha256  nvidia_cuda_nvdisasm-$version-$platform.whl"
  ) >"$download/sums"
  (cd "$download" && sha256sum --check --quiet sums)
  for wheel in "$download"/*.whl; do python3 -m zipfile -e "$wheel" "$download/unpacked"; done
  chmod +x "$download"/unpacked/nvidia/cu13/bin/*
  mkdir -p "$(dirname "$folder")"
  mv "$download/unpacked/nvidia/cu13/bin" "$folder"
fi
echo "$folder"
