#!/bin/bash
# A ring that is dead, at once or silently: who waits for it gets an error in time, can be interrupted, and can go.
. "$(dirname "$0")/lib.sh"
TIMEOUT_S=6
SLACK_S=10 # for a machine that is busy
END_S=5    # that an unmount gives the ring

ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 4 dhtfs --timeout "$TIMEOUT_S"
ok 'another, that keeps nothing' node_start 5 dhtfs --no-store --timeout "$TIMEOUT_S"
ok 'its status says that' eval "ctl 5 status | grep -q 'keeps no copies'"
for n in 6 7; do ok "and one more patient, $n" node_start "$n" dhtfs --no-store --timeout 300; done
ok 'all have one view' views 7 0 1 2 3 4 5 6 7
ok 'a file is written' load write "$TEST_DIR/4/mnt" "$TEST_DIR/record" 3 200000
ok 'and safe' ctl 4 sync
address=$(head -n 1 "$TEST_DIR/record" | cut -d' ' -f1)
second=$(sed -n 2p "$TEST_DIR/record" | cut -d' ' -f1)
third=$(sed -n 3p "$TEST_DIR/record" | cut -d' ' -f1)
mine=$TEST_DIR/5/mnt/mine
head -c 100000 /dev/urandom >"$mine"
ok 'the other has a file of its own' sync "$mine"

# fails_in_time COMMAND...: with EIO or ETIMEDOUT (and no lie: it is not "not there"), in time.
fails_in_time() {
	local began=$SECONDS output status
	output=$(timeout -k 5 $((TIMEOUT_S + SLACK_S + 5)) "$@" 2>&1 >/dev/null)
	status=$?
	echo "status $status after $((SECONDS - began)) s: $output"
	[[ $status != [0] && $output == *@(Input/output error|timed out)* ]] && [ $((SECONDS - began)) -le $((TIMEOUT_S + SLACK_S)) ]
}

# refused COMMAND...: it fails at once, because nobody can be reached.
refused() {
	local began=$SECONDS
	! "$@" 2>"$TEST_DIR/why" && grep 'No route to host' "$TEST_DIR/why" && [ $((SECONDS - began)) -le 5 ]
}

# ends_at_once SIGNAL COMMAND...: a second after it began, by that signal.
ends_at_once() {
	local began=$SECONDS status
	timeout -k 30 -s "$1" 1 "${@:2}" >/dev/null 2>&1
	status=$?
	echo "status $status after $((SECONDS - began)) s"
	[[ $status == @(124|137) ]] && [ $((SECONDS - began)) -le 5 ]
}

# ends_soon COMMAND...: it ends a mount, which gives the ring no more than its time.
ends_soon() {
	local began=$SECONDS
	"$@" && echo "after $((SECONDS - began)) s" && [ $((SECONDS - began)) -le $((END_S + SLACK_S)) ]
}

has_looked_up() {
	[ "$(field "$1" lookups)" -gt "$2" ]
}

silent() {
	local n
	for n in 1 2 3 4; do kill -STOP "$(node_pid "$n")"; done
}
awake() {
	local n
	for n in 1 2 3 4; do kill -CONT "$(node_pid "$n")"; done
}

silent
ok 'a ring that is silent: a read ends with an error in time' fails_in_time cat "$TEST_DIR/5/mnt/by-hash/$address"
ok 'who waits can be interrupted' ends_at_once INT cat "$TEST_DIR/6/mnt/by-hash/$address"
ok 'or killed' ends_at_once KILL cat "$TEST_DIR/6/mnt/by-hash/$second"
ok 'what is here is read on' cat "$mine"
before=$(field 7 lookups)
cat "$TEST_DIR/7/mnt/by-hash/$third" >"$TEST_DIR/out" 2>&1 &
waiter=$!
ok 'somebody waits' wait_until 20 has_looked_up 7 "$before"
kill -TERM "$(node_pid 7)"
node 7
ok 'his mount ends all the same' ends_soon mount_ended
wait "$waiter"
is 'he gets an error' "$?" 1
awake
ok 'a ring that wakes is one ring again' views 7 1 1 2 3 4 5 6
ok 'and is read' load read "$TEST_DIR/5/mnt/by-hash" <(head -n 1 "$TEST_DIR/record")

for n in 1 2 3 4; do node_kill "$n"; done
ok 'a ring that is gone: a read ends with an error in time' fails_in_time cat "$TEST_DIR/5/mnt/by-hash/$second"
ok 'who waits can be interrupted' ends_at_once INT cat "$TEST_DIR/6/mnt/by-hash/$second"
ok 'what is here is read on' cat "$mine"
echo more >"$mine.more"
ok 'an fsync fails at once, and says so' refused sync "$mine.more"
ok 'what was written is there' grep -q more "$mine.more"
exec {held}<"$TEST_DIR/6/mnt"
node 6
ok 'a mount that is in use can be taken away' timeout 20 fusermount3 -uz "$MNT"
exec {held}<&-
ok 'its process ends' ends_soon mount_ended
ok 'the other mount ends, too' ends_soon node_stop 5
done_testing
