#!/usr/bin/env bash
# Runs the libFuzzer programs, each for some seconds from the stored inputs on, and reports how many
# inputs were tried and which lines of the loaders they reached. Usage: tools/fuzz.sh FOLDER [SECONDS]
# FOLDER holds the programs; what they find that crashes stays in FOLDER/findings.
set -euo pipefail
folder=$(realpath "$1")
seconds=${2:-60}
cd "$(dirname "$0")/.."

findings=$folder/findings
rm -rf "$findings"
mkdir -p "$findings"
objects=()
failed=0
for subject in safetensors config weight_map; do
  grown=$folder/corpus_$subject
  mkdir -p "$grown"
  printf '=== %s, %s s\n' "$subject" "$seconds"
  LLVM_PROFILE_FILE=$findings/$subject.profraw "$folder/fuzz_$subject" \
    -max_total_time="$seconds" -dict=tests/fuzz/json.dict -artifact_prefix="$findings/$subject-" \
    -print_final_stats=1 -verbosity=0 "$grown" "tests/fuzz/corpus/$subject" || failed=1
  objects+=(-object "$folder/fuzz_$subject")
done

version=$(clang -dumpversion | cut -d. -f1)
llvm_tool() { "$(command -v "$1-$version" || command -v "$1")" "${@:2}"; }
llvm_tool llvm-profdata merge -sparse "$findings"/*.profraw -o "$findings/all.profdata"
llvm_tool llvm-cov report "${objects[@]}" -instr-profile="$findings/all.profdata" src/application/model
exit "$failed"
