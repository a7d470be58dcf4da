#!/bin/sh
# Checks for what the Makefile cannot install from a lock file, and installs Debian's packages when
# it may. Says in one line what is missing.
set -eu

fail() {
    echo "make: $1" >&2
    exit 1
}

# Runs a step of an installation: one line for it, and the end of its output only if it fails.
step() {
    echo "$1" >&2
    shift
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "could not run: $*"
    fi
    rm -f "$log"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

wanted=""
has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3 python3-venv"
has node && has npm || wanted="$wanted nodejs npm"
has cc || wanted="$wanted gcc libc6-dev"
has setpriv || wanted="$wanted util-linux"
has redis-server || wanted="$wanted redis-server"
has redis-sentinel || wanted="$wanted redis-sentinel"
has valgrind || wanted="$wanted valgrind"
has openssl || wanted="$wanted openssl"
has chromium-headless-shell || has chromium || has google-chrome || wanted="$wanted chromium-headless-shell"
has nginx || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"

if [ -n "$wanted" ]; then
    has apt-get && [ "$(id -u)" = 0 ] || fail "missing:$wanted. Install them (as root, on Debian: apt-get install$wanted) and run again."
    export DEBIAN_FRONTEND=noninteractive
    step "Reading the package lists" apt-get update -qq
    # shellcheck disable=SC2086
    step "Installing$wanted" apt-get install -y -qq --no-install-recommends $wanted
fi

has cargo && has rustup || fail "missing: Rust. Install rustup (https://rustup.rs) and run again; the toolchain itself then comes by rust-toolchain.toml."
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' || fail "Node $(node --version) is too old: 20 or later is needed."
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$(python3 --version) is too old: 3.11 or later is needed."

# Adds the toolchain, components and targets of rust-toolchain.toml where they are not there yet.
if ! rustup target list --installed 2>/dev/null | grep -q wasm32-wasip1; then
    step "Installing the Rust toolchain" rustup toolchain install --no-self-update
    step "Installing the targets for wasm" rustup target add wasm32-wasip1 wasm32-unknown-unknown
fi
