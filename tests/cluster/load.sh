#!/bin/bash
# Nodes join and leave while files are read and written: no read fails, and no more is moved than has to be.
. "$(dirname "$0")/lib.sh"
FILES=160
BYTES=250000

ok 'a ring is made' ring_create
for n in 1 2 3 4; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 5 dhtfs
ok 'a reader that keeps nothing' node_start 6 dhtfs --no-store
ok 'all have one view' views 6 0 1 2 3 4 5 6
ok 'files are written' load write "$TEST_DIR/5/mnt" "$TEST_DIR/record" "$FILES" "$BYTES"
ok 'and safe' ctl 5 sync
ok 'with all their copies' replicas "$TEST_DIR/5/mnt/file$((FILES - 1))" 3/3
# What is owned is moved by what leases hold.
ok 'and leased' ctl 5 wait
ok 'all have what is theirs' complete 1 2 3 4 5

# With nobody reading or writing, what a joining node is sent is what it then owns.
ok 'a node joins' node_start 7 dhtd
ok 'all have one view' views 7 0 1 2 3 4 5 6 7
BOUND_S=150 # it may have to look for two minutes for one who had all of a slot
# Before its first table it owns nothing, and lacks nothing.
has_some() { [ "$(field "$1" stored_bytes)" -gt 1000000 ] && is_complete "$1"; }
ok 'it has what is its' wait_until "$BOUND_S" has_some 7
received=$(field 7 received_bytes)
owned=$(field 7 stored_bytes)
diag "it was sent $((received / 1024)) KiB, and has $((owned / 1024)) KiB"
[ "$owned" -gt 1000000 ] && [ $((received * 10)) -le $((owned * 13 + 10 * 1048576)) ]
tap $? 'it was sent at most 1.3 times what is its own (and 1 MiB of talk)'

# A reader and a writer beside it.
mkdir "$TEST_DIR/5/mnt/more"
python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/more" "$TEST_DIR/record.more" >"$TEST_DIR/writer" 2>&1 &
writer=$!
python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/record" 15 0.05 >"$TEST_DIR/reader" 2>&1 &
reader=$!
ok 'another node joins' node_start 8 dhtd
ok 'all have one view' views 8 0 1 2 3 4 5 6 7 8
ok 'one is drained' ctl 2 drain
wait "$reader"
tap $? 'no read fails' || diag "$(head -n 20 "$TEST_DIR/reader")"
diag "$(tail -n 1 "$TEST_DIR/reader")"
kill -TERM "$writer"
wait "$writer"
grep -q ' 0 not acknowledged' "$TEST_DIR/writer"
tap $? 'no write fails' || diag "$(head -n 20 "$TEST_DIR/writer")"
ok 'all is there' load read "$TEST_DIR/6/mnt/by-hash" <(cat "$TEST_DIR"/record*)
all_have_copies() { local f; for f in "$TEST_DIR/5/mnt"/file*; do has_replicas "$f" 3/3 || return; done; }
ok 'with all its copies' wait_until "$BOUND_S" all_have_copies
if [ -n "${SOAK:-}" ]; then
	ok 'it leaves' timeout 1500 "$B/dhtctl" --store "$TEST_DIR/2/store" leave
	wait_until "$BOUND_S" process_ended "${daemon_pids[2]}"
	tap $? 'and ends'
	wait "${daemon_pids[2]}"
	unset 'daemon_pids[2]'
	ok 'all is there' load read "$TEST_DIR/6/mnt/by-hash" <(cat "$TEST_DIR"/record*)
	ok 'with all its copies' wait_until "$BOUND_S" all_have_copies
fi
done_testing
