#!/bin/sh
# Builds the module of another release, for the story of a rolling upgrade:
# target/other-release/portcullis_filter.wasm.
#
# Replicas of two releases share their records, and what the next release will add to them or leave
# out is not known yet. So one is made up: a copy of the sources in which a session, a client and
# upstream tokens each lack a field and have one that this release does not know. It is built from
# the sources as they are, because a module that was built once and kept would stay the same while
# the records change, and a feature of the product's crates would be code of the product for tests.
set -eu

fail() {
    printf '%s\n' "other-release: $1" >&2
    exit 1
}

# What the module is built from, and testkit, which Cargo wants to see in a workspace that tests
# with it.
members="crates/cipher crates/protocol crates/storage-api crates/gateway crates/testkit filter"
sources="Cargo.toml Cargo.lock rust-toolchain.toml .cargo $members"

cd "$(dirname "$0")/.."
folder=${CARGO_TARGET_DIR:-target}/other-release
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
copy=$folder/src
module=$folder/portcullis_filter.wasm

# Names of folders and files only.
# shellcheck disable=SC2086
newer=$([ -e "$module" ] && find $sources "tests/other-release.sh" -newer "$module" -print -quit || echo all)
[ -n "$newer" ] || exit 0
echo "Building the filter of another release" >&2

# What is changed while this runs is newer than the module.
touch "$folder/started"
rm -rf "$copy"
mkdir -p "$copy/crates"
# With their times, so that Cargo builds again only what was changed.
cp -p Cargo.toml Cargo.lock rust-toolchain.toml "$copy"
cp -Rp .cargo "$copy"
for member in $members; do
    cp -Rp "$member" "$copy/$member"
done

# Changes a file of the copy by an expression of sed, which must have found what it looks for.
edit() {
    sed "$2" "$copy/$1" >"$folder/edited"
    ! cmp -s "$folder/edited" "$copy/$1" || fail "nothing in $1 is changed by \`$2\`: rewrite this edit"
    mv "$folder/edited" "$copy/$1"
}

# In a record's file: replaces a field and its number by another one. The comment above is left,
# because every field has to have one.
replace_field() {
    edit "$1" "/^    #\[.*n([0-9]*).*\]\$/{
        N
        s/.*\n    pub $2: .*,\$/    #[n(40)]\n    pub note: Option<String>,/
    }"
}

# Where a record is made: sets the field that was added instead of the one that is gone.
replace_value() {
    edit "$1" "s/^        $2: .*,\$/        note: Some(\"another release\".to_owned()),/"
}

quoted=$(for member in $members; do printf '"%s", ' "$member"; done)
edit Cargo.toml "s|^members = .*|members = [${quoted%, }]|"

# What only the fields that are gone had a use for is left.
edit Cargo.toml 's/^\[workspace\.lints\.rust\]$/&\nunused = "allow"/'

replace_field crates/gateway/src/sessions/state.rs upstream_ends_at
edit crates/gateway/src/sessions/state.rs 's/self\.upstream_ends_at/None::<u64>/'
edit crates/gateway/src/endpoints/callback.rs \
    's/^        upstream_ends_at,$/        note: Some("another release".to_owned()),/'

replace_field crates/gateway/src/clients/registered.rs registered_at
edit crates/gateway/src/clients/registered.rs \
    's/registered_at, scope, deleted_at: None/note: Some("another release".to_owned()), scope, deleted_at: None/'

replace_field crates/gateway/src/upstream/tokens.rs client_name
edit crates/gateway/src/endpoints/callback/legs.rs \
    's/^            client_name: .*,$/            note: Some("another release".to_owned()),/'
replace_value crates/gateway/src/upstream/refresh.rs client_name
replace_value crates/gateway/src/upstream/connections/stored.rs client_name

# In less time than a release takes. The module says in Envoy's log and metrics which one it is.
(
    cd "$copy"
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    PORTCULLIS_COMMIT=another-release CARGO_TARGET_DIR=$folder/target \
        cargo build --quiet --release --target wasm32-wasip1 -p portcullis-filter
)
cp "$folder/target/wasm32-wasip1/release/portcullis_filter.wasm" "$module"
touch -r "$folder/started" "$module"
