#!/bin/sh
# Builds the example application into RPMs, and shows what the policy package holds.
# The exit status is that of the first command that fails.
set -eu

cd "$(dirname "$0")/.."
sepkg=.venv/bin/wsgi-sepkg
out=out/demo

heading() { printf '\n== %s\n' "$*"; }

show() {
    printf '$ %s\n\n' "$*"
    "$@"
}

# Only the packages of this run are inspected.
rm -rf "$out"

heading "1. Build: from examples/guestbook to packages"
show "$sepkg" build examples/guestbook --outdir "$out"

heading "2. Inspect: what the policy package does to a host"
for package in "$out"/*-selinux*.noarch.rpm; do
    if [ ! -e "$package" ]; then
        printf 'demo: the build left no *-selinux*.noarch.rpm in %s\n' "$out" >&2
        exit 1
    fi
done
show "$sepkg" inspect "$out"/*-selinux*.noarch.rpm

heading "Done: the packages are in $out"
