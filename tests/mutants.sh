#!/bin/bash
# Breaks `protocol` and `gateway` in one small way after another with cargo-mutants, and lists the
# ways that no test notices.
#
#   FILE=glob       mutants of these files alone, such as 'crates/protocol/src/jose/*'
#   SINCE=revision  mutants of the lines alone that were changed since then
#
# Ends with 1 where a mutant is missed.
#
# Two passes, because most mutants fall to a unit test within a second: first the tests of the crate
# itself, without those in SLOW; then every test of both crates, for what is left. All of it happens
# in a copy in target/mutants-run, so that the sources can be edited in the meantime.
set -euo pipefail

# Tests that take longer than a second each. The second pass runs them.
SLOW=(
    a_million_targets accepted_keys_are_the_same
    every_mode_that their_number_and_their_bytes a_form_that_is_sent_again however_many_addresses_register
    many_forms_and_remembered a_call_a_refresh_and_a_login_say
)

cd "$(dirname "$0")/.."
project=$PWD
target=${CARGO_TARGET_DIR:-$project/target}
run=$target/mutants-run
copy=$run/tree
tool=$target/tools/bin/cargo-mutants

rm -rf "$run"
mkdir -p "$copy"
tar -c --exclude-vcs --exclude=./target --exclude=./.venv --exclude=node_modules . | tar -xm -C "$copy"

what=(-p portcullis-protocol -p portcullis-gateway)
if [ -n "${FILE:-}" ]; then
    what=(--file "$FILE")
fi
if [ -n "${SINCE:-}" ]; then
    git diff "$SINCE" -- crates/protocol crates/gateway >"$run/since.diff"
    what+=(--in-diff "$run/since.diff")
fi

# Arguments: those of this pass, then `--` and those of `cargo test`. A copy that lies about its
# result is worse than none, so everything but missed mutants ends the run.
pass() {
    status=0
    CARGO_TARGET_DIR=$target "$tool" mutants --dir "$copy" --in-place --output "$run" --profile mutants \
        --no-shuffle "${what[@]}" "$@" || status=$?
    case $status in 0 | 2 | 3) ;; *) exit "$status" ;; esac
}

# How many mutants came out as the argument says.
count() {
    sort -u "$run/mutants.out/$1.txt" 2>/dev/null | wc -l
}

pass --timeout 60 -- -- "${SLOW[@]/#/--skip=}"
if [ ! -e "$run/mutants.out/outcomes.json" ]; then
    exit 0
fi
caught=$(count caught) unviable=$(count unviable)
if [ $(($(count missed) + $(count timeout))) -gt 0 ]; then
    pass --iterate --timeout 300 --baseline skip --test-package portcullis-protocol,portcullis-gateway
    caught=$((caught + $(count caught)))
fi

missed=$(count missed)
echo "$((caught + unviable + missed + $(count timeout))) mutants: $caught caught, $missed missed," \
    "$(count timeout) ran out of time, $unviable do not build"
if [ "$missed" -gt 0 ]; then
    cat "$run/mutants.out/missed.txt"
    exit 1
fi
