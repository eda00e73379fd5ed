#!/usr/bin/env bash
# Completes a few dictionary entries with a model. Usage: tools/demo.sh SEESAW_PROGRAM MODEL_FOLDER
# The program prints the text as it comes, then its statistics.
set -euo pipefail
program=$1
model=$2

prompts=(
  'lighthouse (noun): '
  'to wander (verb): '
  'luminous (adjective): '
  'slowly (adverb): '
)

"$program" info
for prompt in "${prompts[@]}"; do
  printf '\n--- "%s"\n' "$prompt"
  "$program" generate --model "$model" --prompt "$prompt" --max-new-tokens 160
done
