#!/usr/bin/env bash
# Prints the project's C and C++ files (tracked, and new ones git does not ignore), each ended by a
# null byte. Arguments are git path patterns to choose among them; default: all.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- '*.h' '*.c' '*.cc'
git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done
