#!/bin/sh
# Makes the secret files that the kustomizations read, each once: a file that is there stays as it
# is.
#
#   IDP_SECRET=…               what the identity provider gave you; required the first time
#   TLS_CERT=FILE TLS_KEY=FILE the certificate for the gateway's name; required the first time
#   REDIS_PASSWORD=…           the password of a Redis that you have already; absent: a random one
set -eu
umask 077
here="$PWD"
cd "$(dirname "$0")"

# Standard input becomes the file, all of it or nothing.
make() {
    cat >"$1.new"
    [ -s "$1.new" ] || { echo "secrets.sh: nothing to put into $1" >&2; exit 1; }
    mv "$1.new" "$1"
    echo "made $1"
}

absent() {
    [ ! -s "$1" ] || { echo "kept $1"; return 1; }
}

demand() {
    eval "[ -n \"\${$1:-}\" ]" || { echo "secrets.sh: set $1 ($2)" >&2; exit 1; }
}

mkdir -p gateway/secrets redis/secrets replicated/secrets

# What is given is asked for before anything is made.
[ -s gateway/secrets/idp-secret ] || demand IDP_SECRET "the client secret of the identity provider"
[ -s gateway/secrets/tls.crt ] || demand TLS_CERT "the file with the certificate of the gateway's name"
[ -s gateway/secrets/tls.key ] || demand TLS_KEY "the file with its key"

absent gateway/secrets/signing-keys && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | make gateway/secrets/signing-keys
absent gateway/secrets/gateway-secrets && openssl rand -hex 48 | tr -d '\n' | make gateway/secrets/gateway-secrets
absent gateway/secrets/idp-secret && printf '%s' "$IDP_SECRET" | make gateway/secrets/idp-secret
absent gateway/secrets/tls.crt && (cd "$here" && cat "$TLS_CERT") | make gateway/secrets/tls.crt
absent gateway/secrets/tls.key && (cd "$here" && cat "$TLS_KEY") | make gateway/secrets/tls.key

if absent gateway/secrets/redis-password; then
    password="${REDIS_PASSWORD:-$(openssl rand -hex 32)}"
    printf '%s' "$password" | make gateway/secrets/redis-password
fi
# Always made again from the manifest and the password. The second grants WAIT, for replicated/.
acl="$(sed -n '/users\.acl:/,/^---/p' redis/redis-sentinel.yaml | sed '1d;$d' | tr -s ' \n' ' ' | sed 's/^ //; s/ $//')"
password="$(cat gateway/secrets/redis-password)"
case "$password" in
    *[!A-Za-z0-9+/=_.-]*) echo "secrets.sh: the Redis password may have letters, digits and + / = _ . - only" >&2; exit 1 ;;
esac
[ "$password" != YOUR_REDIS_ACL_PASSWORD ] || { echo "secrets.sh: that Redis password is the manifest's example" >&2; exit 1; }
before="${acl%%YOUR_REDIS_ACL_PASSWORD*}"
after="${acl#*YOUR_REDIS_ACL_PASSWORD}"
[ "$before" != "$acl" ] || { echo "secrets.sh: redis/redis-sentinel.yaml has no YOUR_REDIS_ACL_PASSWORD" >&2; exit 1; }
printf '%s' "$before$password$after" | make redis/secrets/users.acl
printf '%s' "$before$password$after +WAIT" | make replicated/secrets/users.acl
