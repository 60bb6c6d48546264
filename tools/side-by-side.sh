#!/bin/bash
# Run two commands at once: the first one's output is shown as it comes, and it gives way to the
# second; the second one's is shown whole when both have ended.
#
# usage: side-by-side.sh NAME COMMAND NAME COMMAND
#
# Exit status: 0, or that of the first of them which failed, with its name.
set -uo pipefail

[ $# -eq 4 ] || { echo "usage: side-by-side.sh NAME COMMAND NAME COMMAND" >&2; exit 2; }

kept=$(mktemp)
beside=
trap 'rm -f "$kept"' EXIT
# A group of its own, so that all that it started ends with it.
trap '[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null; exit 130' INT TERM HUP

set -m
bash -c "$4" </dev/null >"$kept" 2>&1 &
beside=$!
set +m

printf '\n== %s (beside them: %s)\n' "$1" "$3"
nice -n 5 bash -c "$2"
first=$?
wait "$beside"
second=$?
beside=
printf '\n== %s\n' "$3"
cat "$kept"

[ "$first" -eq 0 ] || printf '\n== "%s" failed with status %s\n' "$1" "$first" >&2
[ "$second" -eq 0 ] || printf '\n== "%s" failed with status %s\n' "$3" "$second" >&2
exit $((first != 0 ? first : second))
