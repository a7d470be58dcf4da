# Starts redis-server in /data, as the master or as its replica. The sentinels know which; redis-0
# is the master of a new group.
set -eu
cd /data
domain=redis.redis.svc.cluster.local
own="$POD_NAME.$domain"

# What the sentinels say, or nothing.
known() {
    redis-cli -h redis-sentinel.redis.svc.cluster.local -p 26379 SENTINEL get-master-addr-by-name mymaster 2>/dev/null \
        | head -n 1 | grep -x "redis-[0-9]*\.$domain" || true
}

master="$(known)"
# A master that comes back at once may have lost its last second, and its replicas would follow it.
# So it stays away until the sentinels have put another in its place (down-after-milliseconds and an
# election); without a master to follow it goes on.
tries=0
while [ "$master" = "$own" ] && [ "$tries" -lt 15 ]; do
    tries=$((tries + 1))
    sleep 1
    master="$(known)"
done
: "${master:=redis-0.$domain}"

set -- --bind 0.0.0.0 --aclfile /data/users.acl --replica-announce-ip "$own"
if [ -s dump.rdb ] && [ ! -d appendonlydir ]; then
    # This server had snapshots only. Told to use a file of appended writes that is not there yet,
    # it would start empty.
    (until redis-cli CONFIG SET appendonly yes 2>/dev/null | grep -q OK; do sleep 1; done) &
else
    set -- "$@" --appendonly yes
fi
[ "$master" = "$own" ] || set -- "$@" --replicaof "$master" 6379
echo "$own: the master is $master"
exec redis-server "$@"
