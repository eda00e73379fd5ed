#!/usr/bin/env bash
# Runs a Python benchmark with PYTHON (python3), which must have torch. The package is the one that
# SEESAW_PYTHON_PACKAGE holds unpacked (tools/python_package.sh), or the interpreter's own.
#   tools/python_bench.sh FILE.py|-m MODULE [its arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -n "${SEESAW_PYTHON_PACKAGE:-}" ]; then
  PYTHONPATH=$(realpath "$SEESAW_PYTHON_PACKAGE")${PYTHONPATH:+:$PYTHONPATH}
  export PYTHONPATH
fi
for module in torch seesaw_mla; do
  if ! "$python" -c "import $module"; then
    echo "python_bench: $python cannot import $module; PYTHON and SEESAW_PYTHON_PACKAGE name others" >&2
    exit 1
  fi
done
exec "$python" "$@"
