# dhtctl ring, dhtd and a mount of one ring, on loopback: files, settings, commands and what mistakes are told.
. "$(dirname "$0")/../lib/mount.sh"
dhtctl() { timeout 60 "$B/dhtctl" "$@"; }
file=$TEST_DIR/lab.ring
port=$((10000 + $$ % 20000))
peer=$TEST_DIR/peer

# said COMMAND...: what it says on stderr.
said() { "$@" 2>&1 >/dev/null; }
# peer_field NAME: of the status of dhtd.
peer_field() { dhtctl --store "$peer" --json status | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
has() { tap "$([[ $2 == *"$3"* ]] && echo 0 || echo 1)" "$1" || diag "$2"; }

ok "a ring is made" dhtctl ring create "$file" --replicas 2 --acks 1
is "its files are their owner's alone" "$(stat -c %a "$file" "$file.admin" | xargs)" "600 600"
before=$(sha256sum "$file" "$file.admin")
has "it is never replaced" "$(said dhtctl ring create "$file")" "is there already"
is "nor changed" "$(sha256sum "$file" "$file.admin")" "$before"
has "dhtd without a ring says what to do" "$(said "$B/dhtd" --listen 127.0.0.1)" "dhtctl ring create"
chmod 644 "$file"
has "a secret that others can read is refused" "$(said timeout 20 "$B/dhtd" --ring "$file" --store "$peer")" "chmod 600"
chmod 600 "$file"
printf 'zone = a\n\nlisen = b\n' >"$TEST_DIR/bad"
has "dhtd has no mount's options" "$(said "$B/dhtd" --ring "$file" --timeout 5)" "give it to dhtfs"
has "a mistake in a file is told with its line" "$(said "$B/dhtd" --config "$TEST_DIR/bad")" "bad:3: there is no setting 'lisen'"

printf 'ring = %s\nzone = cellar\nsync = local\ndirty_max = 1G\n[dhtd]\nlisten = 127.0.0.1:%s\nstore = %s\nsize-max = 1G\n' "$file" "$port" "$peer" \
    >"$TEST_DIR/config"
ok "dhtd starts from a file of settings" timeout 60 "$B/dhtd" --config "$TEST_DIR/config"
pid=$(peer_field pid)
trap 'ending=$?; [ -z "$pid" ] || kill "$pid"; (exit $ending); mount_cleanup' EXIT
is "and is a node of the ring" "$(peer_field ring_state)" here
has "only a mount has paths" "$(said dhtctl --store "$peer" paths "$(printf %064d 0)")" "does not know"
# Its first table is made a moment after it has begun.
is "where it is alone, it is the owner" \
    "$(dhtctl --store "$peer" where "$(printf %064d 0)" | awk '{ print $1 }')" owner
ok "a repair ends when there is nothing to do" dhtctl --store "$peer" repair
has "peers shows its zone" "$(dhtctl --store "$peer" peers)" cellar
has "nobody is left to whom to leave" "$(said dhtctl --store "$peer" leave)" "no other node"
has "maintenance wants a time" "$(said dhtctl --store "$peer" maintenance soon)" "2h"
has "evict wants the admin's key" "$(said dhtctl --store "$peer" evict x)" "--admin"
has "and a member" "$(said dhtctl --store "$peer" evict x --admin "$file.admin")" "no member is 'x'"

ok "the secret is replaced" dhtctl ring rotate "$file"
is "the old file stays beside the new one" "$(sort "$file" "$file.old" | uniq -u | grep -c ^secret)" 2
has "not twice at once" "$(said dhtctl ring rotate "$file")" "rotation is under way"

kill "$pid"
wait_until 20 process_ended "$pid"
kill -0 "$pid" 2>/dev/null || pid=
ok "dhtd ends when told to" test ! "$pid" -a ! -e "$peer/control"
ok "another ring is made" dhtctl ring create "$TEST_DIR/other.ring"
has "a store stays in its ring" "$(said timeout 20 "$B/dhtd" --config "$TEST_DIR/config" --ring "$TEST_DIR/other.ring")" "is that of"
done_testing
