#!/bin/bash
# Who is no member, or seems to be one: sent away with a reason in the log, with no effect on the others, and with no more than its share
# of their memory and sockets.
. "$(dirname "$0")/lib.sh"
stranger=(timeout 60 python3 "$helpers/stranger.py")

# ends_with STATUS N: by itself.
ends_with() {
	local pid=${daemon_pids[$2]} status
	wait_until "$BOUND_S" process_ended "$pid" || return
	unset "daemon_pids[$2]"
	wait "$pid"
	status=$?
	[ "$status" = "$1" ] || echo "status $status"
	[ "$status" = "$1" ]
}

ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 4 dhtfs
ok 'all have one view' views 4 0 1 2 3 4
ok 'files are written' load write "$TEST_DIR/4/mnt" "$TEST_DIR/record" 10
ok 'and safe' ctl 4 sync
at=$(address 1)
pid=$(node_pid 1)

sockets() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
few_sockets() { [ "$(sockets)" -le $((sockets_before + $1)) ]; }
# works NAME: the ring does what it is for, and is as large as it was.
works() {
	local record=$TEST_DIR/record.$((++works_run))
	mkdir "$TEST_DIR/4/mnt/$works_run"
	ok "$1: files are written" timeout 60 python3 "$helpers/load.py" write "$TEST_DIR/4/mnt/$works_run" "$record" 5
	ok "$1: all copies are made" replicas "$TEST_DIR/4/mnt/$works_run/file4" 3/3
	ok "$1: nobody has joined or gone" all_see 4 0 1 2 3 4
}
works_run=0
sockets_before=$(sockets)
before_kib=$(resident_kib)

ok 'random bytes at the port' "${stranger[@]}" garbage "$at" 200
ok 'the log says why' said 1 'a length that nothing has at this point'
ok 'more than may come' "${stranger[@]}" oversized "$at" 50
ok 'half of a handshake is given up' "${stranger[@]}" half "$at" 16
works 'after noise'

"${stranger[@]}" silent "$at" 1000 >"$TEST_DIR/silent" &
silent=$!
wait_until 60 grep -qs silent "$TEST_DIR/silent"
tap $? '1,000 connections say nothing' || diag "$(<"$TEST_DIR/silent")"
ok 'they hold 128 sockets at most' few_sockets 132
works 'meanwhile'
kill "$silent"
wait "$silent" 2>/dev/null
ok 'then none' wait_until 30 few_sockets 4

# What a member has said once is worth nothing, without its keys.
"${stranger[@]}" record "$(address 50)" "$at" "$TEST_DIR/said" >"$TEST_DIR/recorder" 2>&1 &
recorder=$!
wait_until 10 grep -qs ready "$TEST_DIR/recorder"
ok 'a member joins by way of one who listens' node_start 5 dhtd --join "$(address 50)"
ok 'it is a member' views 5 0 1 2 3 4 5
[ "$(stat -c %s "$TEST_DIR/said")" -gt 200 ]
tap $? 'what it said is known'
ok 'it leaves' ctl 5 leave
ok 'it ends' ends_with 0 5
kill "$recorder" 2>/dev/null
wait "$recorder" 2>/dev/null
ok 'all have one view' views 4 0 1 2 3 4
ok 'it is replayed' "${stranger[@]}" replay "$at" "$TEST_DIR/said" 20
works 'after replays'

# Other ring files.
sed 's/^secret .*/secret 1111111111111111111111111111111111111111111111111111111111111111/' "$RING" >"$TEST_DIR/secret.ring"
sed 's/^replicas .*/replicas 2/' "$RING" >"$TEST_DIR/replicas.ring"
chmod 600 "$TEST_DIR"/*.ring
refused=$(field 1 refused)
is_refused() { [ "$(field 1 refused)" -gt "$refused" ]; }
RING=$TEST_DIR/secret.ring node_start 6 dhtd
ok 'who has another secret is refused' wait_until 30 is_refused
ok 'the log says why' wait_until 40 said 1 "does not know the ring's secret"
ok 'another file of the ring, too' eval 'RING=$TEST_DIR/replicas.ring node_start 7 dhtd'
ok 'which is told so' wait_until 30 said 7 'another ring file'
is 'they are alone' "$(field 6 members) $(field 7 members)" '0 0'
node_stop 6
node_stop 7
works 'after strangers'

# A machine that was cloned: the two can't be told apart.  Both stop, or the one that hears of the other first.
mkdir -p "$TEST_DIR/8"
cp -r "$TEST_DIR/3/store" "$TEST_DIR/8/store"
rm -f "$TEST_DIR/8/store/control"
one_stops() { process_ended "${daemon_pids[8]}" || process_ended "${daemon_pids[3]}"; }
ok 'a clone of node 3 starts' node_start 8 dhtd --join "$at"
ok 'one of the two stops at least' wait_until 60 one_stops
stopped=3
process_ended "${daemon_pids[3]}" || stopped=8
ok 'not to be started again' ends_with 3 "$stopped"
grep -q 'this node ends: another process has this node.s key' "$TEST_DIR"/[38]/log
tap $? 'and says why'
for n in 3 8; do [ -z "${daemon_pids[$n]:-}" ] || node_kill "$n"; done
ok 'one of them starts again' node_start 3 dhtd
ok 'and is the member' views 4 0 1 2 3 4
works 'after a clone'

ok 'node 9 starts' node_start 9 dhtd
ok 'it is a member' views 5 0 1 2 3 4 9
ok 'and is evicted' ctl 1 evict "$(field 9 node)" --admin "$RING.admin"
ok 'it ends, not to be started again' ends_with 3 9
"$B/dhtd" -f --store "$TEST_DIR/9/store" --ring "$RING" --listen "$(address 9)" >>"$TEST_DIR/9/log" 2>&1 &
daemon_pids[9]=$!
ok 'though it is' ends_with 3 9
ok 'and says why' said 9 'evicted from the ring'
works 'after an eviction'

sed "s/^secret .*/secret $(printf '5%.0s' {1..64})/" "$RING" >"$TEST_DIR/wrong.ring"
chmod 600 "$TEST_DIR/wrong.ring"
ok 'one starts with another secret' node_start 10 dhtd --ring "$TEST_DIR/wrong.ring"
ok 'it is told why it gets no further' wait_until 60 said 10 'hangs up on us: has it another ring file'
node_kill 10

ok 'what was there is read' load read "$TEST_DIR/4/mnt/by-hash" "$TEST_DIR/record"
ok 'no sockets are left behind' wait_until 30 few_sockets 6
after_kib=$(resident_kib)
diag "resident: $before_kib KiB before, $after_kib KiB after"
[ "$after_kib" -lt $((before_kib + 32768 * SLOW)) ]
tap $? 'nor memory'
done_testing
