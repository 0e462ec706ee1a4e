#!/bin/bash
# Nodes that go and come back: wiped, without --join, at another address, with another ring's file.
. "$(dirname "$0")/lib.sh"

ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 4 dhtfs
ok 'all have one view' views 4 0 1 2 3 4
node 4
ok 'files are written' load write "$MNT" "$TEST_DIR/record" 40
ok 'and safe' ctl 4 sync
ok 'with all their copies' replicas "$MNT/file39" 3/3

all_have_copies() {
	local file
	for file in "$TEST_DIR/4/mnt"/file*; do has_replicas "$file" 3/3 || return; done
}
# keeps_as_before N: it has as much as before.
keeps_as_before() { [ "$(field "$1" records_owned)" = "${owned[$1]}" ]; }
for n in 1 2 3 4; do ok "node $n has all that is its" complete "$n"; owned[n]=$(field "$n" records_owned); done
[ $((owned[1] + owned[2] + owned[3] + owned[4])) -gt 120 ]
tap $? 'they own something' || diag "${owned[*]}"
# Repair is over what leases hold.
ok 'all of it is leased' ctl 4 wait

# The same identity with an empty store: what a new disk is.
key=$(<"$TEST_DIR/2/store/node.key")
ok 'node 2 ends' node_stop 2
node_wipe 2
mkdir -m 700 "$TEST_DIR/2/store"
(umask 077 && echo "$key" >"$TEST_DIR/2/store/node.key")
ok 'its key with an empty store joins' node_start 2 dhtd --join "$(address 1)" || bail_out "no node"
ok 'all have one view' views 4 0 1 2 3 4
ok 'it is filled again' wait_until "$BOUND_S" keeps_as_before 2
ok 'and has all that is its' complete 2
ok 'each file has all its copies' wait_until "$BOUND_S" all_have_copies
ok 'what it has is good' ctl 2 check

# A new machine in the place of one that is lost for ever.
id=$(field 3 node)
node_kill 3
node_wipe 3
ok 'node 3 is lost, and evicted' ctl 1 evict "$id" --admin "$RING.admin"
# It may not say that something is nowhere before it has looked for two minutes for one who knew all of it (SOURCE_LOOK).
ok 'its successor joins' node_start 3 dhtd
[ "$(field 3 node)" != "$id" ]
tap $? 'it is another node'
ok 'all have one view' views 4 0 1 2 3 4
ok 'each file has all its copies' wait_until "$BOUND_S" all_have_copies

# All of them, founder too, start anew with what they remember.
for n in 4 1 2 3; do ok "node $n ends" node_stop "$n"; done
for n in 3 2 1; do ok "node $n starts without --join" node_start "$n" dhtd; done
ok 'the mount, too' node_start 4 dhtfs
ok 'all have one view' views 4 0 1 2 3 4
ok 'and read what was written' load read "$TEST_DIR/4/mnt/by-hash" "$TEST_DIR/record"

# Under another address, by what it remembers of the others.
ok 'node 2 ends' node_stop 2
mv "$TEST_DIR/2" "$TEST_DIR/12"
ok 'it starts at another address' node_start 12 dhtd
ok 'all have one view' views 4 0 1 3 4 12
moved() { ctl 1 --json peers | grep -q "\"address\": \"$(address 12):4377\""; }
ok 'others know where it is' wait_until "$BOUND_S" moved
ok 'each file has all its copies' wait_until "$BOUND_S" all_have_copies
done_testing
