#!/bin/bash
# Nodes that are not dead: one that is stopped (SIGSTOP), one that is far away, one behind a line that spoils bytes, one whose disk is full.
. "$(dirname "$0")/lib.sh"

ok 'a ring is made' ring_create
# Node 2 is reached by a proxy only: others dial it there, and it dials them.
ok 'a proxy starts' proxy_start far "$(address 20):4377" "$(address 2):4377"
ok 'node 1 starts' node_start 1 dhtd
ok 'node 2 starts, behind the proxy' node_start 2 dhtd --advertise "$(address 20)"
ok 'node 3 starts' node_start 3 dhtd
ok 'node 4 starts, with a small disk' node_start 4 dhtd --size-max 24M --weight 1
ok 'node 7 starts' node_start 7 dhtd
ok 'a mount joins' node_start 5 dhtfs
ok 'a reader that keeps nothing' node_start 6 dhtfs --no-store
ok 'all have one view' views 7 0 1 2 3 4 5 6 7
# goes_on NAME: files are written, acknowledged, and read elsewhere, in reasonable time.
goes_on() {
	mkdir "$TEST_DIR/5/mnt/$1"
	ok "$1: files are written" timeout 60 python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/$1" "$TEST_DIR/record.$1" 10 100000
	is "$1: all of them" "$(wc -l <"$TEST_DIR/record.$1")" 10
	ok "$1: and read" timeout 60 python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/record.$1" 15
}
goes_on usual

kill -STOP "$(node_pid 3)"
goes_on stopped
ok 'who is stopped is held for dead' views 7 1 1 2 4 5 6 7
kill -CONT "$(node_pid 3)"
ok 'and is back' views 7 0 1 2 3 4 5 6 7

ok 'node 2 is 100 ms away' proxy far delay 50
goes_on far
ok 'its line spoils bytes' proxy far corrupt 20000
goes_on spoilt
ok 'its line is good again' proxy far pass
ok 'node 2 is there' views 7 0 1 2 3 4 5 6 7

# More than node 4 can take: it says so, others take it.
mkdir "$TEST_DIR/5/mnt/much"
ok 'more is written than one disk can take' timeout 120 python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/much" "$TEST_DIR/record.much" 60 1000000
is 'all of it' "$(wc -l <"$TEST_DIR/record.much")" 60
used=$(field 4 space_used_bytes)
diag "node 4 has $((used >> 20)) MiB of 24"
[ "$used" -gt $((16 << 20)) ] && [ "$used" -le $((24 << 20)) ]
tap $? 'the small disk is full, and no more'
ok 'all of it is read' timeout 120 python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/record.much" 20
goes_on full
done_testing
