#!/bin/bash
# A ring on machines of their own (network namespaces): it is cut in two, written to on both sides, and heals; then packets are lost, and
# late.
. "$(dirname "$0")/lib.sh"

if ! net_create 1 2 3 4 5 6 2>"$TEST_DIR/why"; then
	skip 'a partition that heals' "no network namespaces here: $(<"$TEST_DIR/why")"
	done_testing
fi
ok 'a ring is made' ring_create --acks 1
for n in 1 2 3 4; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 5 dhtfs
ok 'and another' node_start 6 dhtfs
ok 'all have one view' views 6 0 1 2 3 4 5 6
mkdir "$TEST_DIR/5/mnt/left" "$TEST_DIR/6/mnt/right"
ok 'files are written' load write "$TEST_DIR/5/mnt" "$TEST_DIR/record" 20 100000
ok 'and safe' ctl 5 sync

# 1, 2, 5 on the one side; 3, 4, 6 on the other.
cut() {
	local n
	for n in 1 2 5; do net_drop "$n" ip saddr "{ $(address 3), $(address 4), $(address 6) }" || return; done
	for n in 3 4 6; do net_drop "$n" ip saddr "{ $(address 1), $(address 2), $(address 5) }" || return; done
}
if ! type -P nft >/dev/null || ! cut 2>"$TEST_DIR/why"; then
	skip 'a partition that heals' "no nft here: $(cat "$TEST_DIR/why")"
	done_testing
fi
all_down() { all_see 6 3 1 2 3 4 5 6; }
ok 'each side holds the other for dead' wait_until "$BOUND_S" all_down
ok 'the one side is written to' timeout 60 python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/left" "$TEST_DIR/left" 20 100000
ok 'and the other' timeout 60 python3 "$helpers/load.py" write "$TEST_DIR/6/mnt/right" "$TEST_DIR/right" 20 100000
is 'all of it is acknowledged' "$(cat "$TEST_DIR/left" "$TEST_DIR/right" | wc -l)" 40
for n in 1 2 3 4 5 6; do net_heal "$n" || bail_out 'the net stays cut'; done
ok 'it heals' views 6 0 1 2 3 4 5 6
ok 'each side reads what the other has written' load read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/left"
ok 'in both ways' load read "$TEST_DIR/5/mnt/by-hash" "$TEST_DIR/right"
all_have_copies() { local f; for f in "$1"/file*; do has_replicas "$f" 3/3 || return; done; }
ok 'all of it has all its copies' wait_until "$BOUND_S" all_have_copies "$TEST_DIR/5/mnt/left"
ok 'on both sides' wait_until "$BOUND_S" all_have_copies "$TEST_DIR/6/mnt/right"
BOUND_S=200 # it may have to look for two minutes for one who had all of a slot
ok 'nobody keeps what is another'"'"'s' complete 1 2 3 4 5 6

# One packet of twenty.
for n in 1 2 3 4 5 6; do net_drop "$n" numgen random mod 100 '<' 5 || bail_out 'no loss'; done
mkdir "$TEST_DIR/5/mnt/lossy"
ok '5 % loss: files are written' timeout 120 python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/lossy" "$TEST_DIR/lossy" 10 100000
is 'all of them' "$(wc -l <"$TEST_DIR/lossy")" 10
ok 'and read' timeout 120 python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/lossy" 20
ok 'nobody is held for dead for long' views 6 0 1 2 3 4 5 6
for n in 1 2 3 4 5 6; do net_heal "$n"; done
done_testing
