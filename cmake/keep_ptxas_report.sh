#!/bin/sh
# Runs an nvcc call (all arguments) and keeps what ptxas says of it beside the object, as OBJECT.ptxas.
# Shows the rest, and of the report only what warns; C7519 (an injected warpgroup.arrive) does not.
object=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
[ -n "$object" ] || exec "$@"
"$@" 2>"$object.ptxas"
status=$?
grep -Ev '^ptxas info +: ([^(]|\(C7519\))|bytes stack frame|^$' "$object.ptxas" >&2
exit $status
