#!/bin/bash
# All other disks fill: fsync says so, what was acknowledged stays, and nobody else is in trouble.
. "$(dirname "$0")/lib.sh"

ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts, with a small disk" node_start "$n" dhtd --size-max 24M --weight 8 || bail_out 'no ring'; done
ok 'a mount joins' node_start 4 dhtfs --weight 1
ok 'a reader that keeps nothing' node_start 5 dhtfs --no-store
ok 'all have one view' views 5 0 1 2 3 4 5
timeout 100 python3 "$helpers/load.py" write "$TEST_DIR/4/mnt" "$TEST_DIR/record" 60 1000000 >"$TEST_DIR/writer" 2>&1
tap $? 'more is written than they can take' || diag "$(<"$TEST_DIR/writer")"
diag "$(tail -n 1 "$TEST_DIR/writer")"
grep -q 'No space left' "$TEST_DIR/writer"
tap $? 'an fsync says that there is no space' || diag "$(<"$TEST_DIR/writer")"
why='No space left'
# A sanitizer's process may take longer to say that it is full than others wait for it.
case $B in *address* | *thread* | *undefined*) why+='|No route to host' ;; esac
! grep 'file[0-9]*:' "$TEST_DIR/writer" | grep -Ev "$why"
tap $? 'and nothing else'
[ "$(wc -l <"$TEST_DIR/record")" -ge 10 ]
tap $? 'what there was space for is acknowledged'
small() {
	local n
	for n in 1 2 3; do [ "$(field "$n" space_used_bytes)" -le $((24 << 20)) ] || return; done
}
ok 'nobody has more than his disk' small
ok 'it says that it is full' said 1 'this node is FULL'
[ "$(grep -c 'FULL\|could not be written' "$TEST_DIR/1/log")" = 1 ]
tap $? 'once' || diag "$(sort "$TEST_DIR/1/log" | uniq -c | sort -n | tail -n 3)"
ok 'and in its status' eval "ctl 1 status | grep -q 'space.*FULL'"
ok 'who wrote has all of it' timeout 60 bash -c "cat '$TEST_DIR/4/mnt'/file* | wc -c | grep -qx 60000000"
node_kill 4
ok 'what was acknowledged is there without who wrote it' timeout 100 python3 "$helpers/load.py" read "$TEST_DIR/5/mnt/by-hash" "$TEST_DIR/record"
ok 'what is full goes on' views 5 1 1 2 3 5
ok 'it can be stopped' node_stop 1
ok 'and started' node_start 1 dhtd --size-max 24M --weight 8
ok 'as it was' views 5 1 1 2 3 5
done_testing
