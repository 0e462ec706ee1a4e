#!/bin/bash
# What a mount's user is told where there is nobody else, and where it was evicted; and how it begins again.
. "$(dirname "$0")/lib.sh"

# tells N WORDS: its status.
tells() { ctl "$1" status | grep -q -- "$2"; }
soon() { timeout 30 "$B/dhtctl" --store "$TEST_DIR/$1/store" "${@:2}"; }

ok 'a ring' ring_create
ok 'with one mount' node_start 1 dhtfs
echo lone >"$TEST_DIR/1/mnt/lone"
ok 'fsync waits for nobody' sync "$TEST_DIR/1/mnt/lone"
fails 'but nothing is safe: dhtctl wait says so' 'no other machine' soon 1 wait
ok 'and status' tells 1 'safe *NO: there is no other machine'
ok 'two more come' node_start 2 dhtd
ok 'here' node_start 3 dhtd
ok 'now dhtctl wait waits, and ends' soon 1 wait
ok 'all is safe' tells 1 'safe *yes'
ok 'of the ring, status says what this node knows' wait_until "$BOUND_S" tells 1 'all owners answer, 3 of each chunk; this node has all'

ok 'a second mount' node_start 4 dhtfs
file=$TEST_DIR/4/mnt/film
head -c 1000000 /dev/urandom >"$file"
before=$(sha256sum <"$file")
ok 'has a file' sync "$file"
ok 'they are four' views 4 0 1 2 3 4
ok 'it is evicted' ctl 1 evict "$(address 4)" --admin "$RING.admin"
ok 'status says so, and what to do' wait_until "$BOUND_S" tells 4 'evicted.*new key'
ok 'first of all' tells 4 'OUT OF THE RING'
ok 'and nothing of a ring that it is not in' eval "! tells 4 'all owners answer\|members'"
echo later >"$file.later"
fails 'fsync fails' 'shutdown' sync "$file.later"
fails 'dhtctl sync says why' 'no part in the ring' soon 4 sync
fails 'dhtctl wait waits for nothing' 'no part in the ring' soon 4 wait
is 'what is here is read' "$(sha256sum <"$file")" "$before"
ok 'it ends' node_stop 4
ok 'and does not promise to go on' eval '! grep -q "goes on when" "$LOG"'
mv "$STORE/node.key" "$TEST_DIR/old.key"
ok 'it begins again with a new key' node_start 4 dhtfs
ok 'and is a member' views 4 0 1 2 3 4
ok 'what was left goes out' soon 4 wait
ok 'all of it' replicas "$file.later" 3/3
is 'nothing is lost' "$(sha256sum <"$file")" "$before"

ok 'a mount that waits for its own disk only' node_start 5 dhtfs --sync local
file=$TEST_DIR/5/mnt/file
echo here >"$file"
ok 'dhtctl wait waits for the others there, too' soon 5 wait
ok 'then all is safe' tells 5 'safe *yes'
ok 'it is evicted' ctl 1 evict "$(address 5)" --admin "$RING.admin"
ok 'and says so' wait_until "$BOUND_S" tells 5 'OUT OF THE RING'
echo later >"$file"
ok 'fsync goes on' sync "$file"
ok 'so does dhtctl sync' soon 5 sync
fails 'dhtctl wait waits for nothing' 'no part in the ring' soon 5 wait
ok 'the log does not say that fsync fails' eval '! said 5 "fsync fails"'
done_testing
