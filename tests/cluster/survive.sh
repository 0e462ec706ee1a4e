#!/bin/bash
# Six nodes, three copies: a tree is read by its hash where nothing of it was; any two of the others die by kill -9 under readers and
# writers, and nothing that was acknowledged is lost.
. "$(dirname "$0")/lib.sh"
# The promise is 2 s; other tests may have the machine to themselves for a while.
GOES_ON_S=6

ok 'a ring is made' ring_create
for n in 1 2 3 4; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 5 dhtfs
ok 'a mount that keeps nothing for others joins' node_start 6 dhtfs --no-store
ok 'all have one view' views 6 0 1 2 3 4 5 6
ok 'and their part of the table' complete 1 2 3 4 5

node 5
source=$MNT/tree
ok 'a source tree is copied in' cp -r "$top/dht" "$source"
ok 'and safe' ctl 5 sync
ok 'with all its copies' replicas "$source" 3/3
tree=$(xattr "$source" address)
node 6
reader=$MNT
is 'the reader has nothing of it' "$(field 6 chunks)" 0
is 'it reads the same by its hash' "$(digest "$reader/by-hash/$tree")" "$(digest "$top/dht")"
ok 'names, too' diff -r "$top/dht" "$reader/by-hash/$tree"

# What is there before the two die is at full; the rest is written while they die.
ok 'files are written' load write "$TEST_DIR/5/mnt" "$TEST_DIR/before" 60
ok 'and safe' ctl 5 sync
ok 'with all their copies' replicas "$TEST_DIR/5/mnt/file59" 3/3
mkdir "$TEST_DIR/5/mnt/more"
load write "$TEST_DIR/5/mnt/more" "$TEST_DIR/meanwhile" >"$TEST_DIR/writer.out" 2>&1 &
writer=$!
wait_until 30 test -s "$TEST_DIR/meanwhile"
load read "$reader/by-hash" "$TEST_DIR/before" "$GOES_ON_S" 0.1 >"$TEST_DIR/reader.out" 2>&1 &
read_by=$!
has_some() { [ "$(field 6 chunks)" -gt "$1" ]; }
wait_until 30 has_some $(($(field 6 chunks) + 10))
dead=$((1 + SRANDOM % 4))
other=$((1 + (dead + SRANDOM % 3) % 4))
diag "nodes $dead and $other die"
node_kill "$dead"
node_kill "$other"
wait "$read_by"
tap $? 'reads of what was at full go on' || diag "$(<"$TEST_DIR/reader.out")"
diag "$(tail -n 1 "$TEST_DIR/reader.out")"
acknowledged() { [ "$(wc -l <"$TEST_DIR/meanwhile")" -gt "$1" ]; }
ok 'writes go on' wait_until 60 acknowledged $(($(wc -l <"$TEST_DIR/meanwhile") + 5))
# The writer dies as well, with what it alone has.
kill -TERM "$writer"
wait "$writer"
diag "$(tail -n 3 "$TEST_DIR/writer.out")"
node_kill 5

ok 'the dead start again' node_start "$dead" dhtd
ok 'both' node_start "$other" dhtd
ok 'all that was acknowledged is there, without who wrote it' load read "$reader/by-hash" "$TEST_DIR/meanwhile"
ok 'and what was there before' load read "$reader/by-hash" "$TEST_DIR/before"
ok 'the writer comes back' node_start 5 dhtfs
is 'with the tree' "$(digest "$source")" "$(digest "$top/dht")"
ok 'all have one view again' views 6 0 1 2 3 4 5 6
last=$(tail -n 1 "$TEST_DIR/meanwhile")
ok 'all copies are made' replicas "${last##* }" 3/3
done_testing
