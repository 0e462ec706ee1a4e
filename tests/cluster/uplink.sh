#!/bin/bash
# A mount behind a slow line, as at home: what takes long to go out is only late, and others are not held for gone.
. "$(dirname "$0")/lib.sh"

# slow_line N BITS: what node N sends goes by a line of so many a second.
slow_line() {
	net_in "$1" tc qdisc add dev eth0 root tbf rate "$2" burst 64kb limit 200kb
}

if ! command -v tc >/dev/null || ! net_create 1 2 3 4; then
	echo '1..0 # SKIP no network namespaces, or no tc'
	exit
fi
ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 4 dhtfs --no-store
ok 'all have one view' views 4 0 1 2 3 4
ok 'its line is slow' slow_line 4 8mbit
# Three copies of it take 25 s: longer than a request may take, and than a touch.
head -c 8M /dev/urandom >"$TEST_DIR/random"
ok 'a file is written' cp "$TEST_DIR/random" "$TEST_DIR/4/mnt/file"
ok 'and safe' timeout 300 sync "$TEST_DIR/4/mnt/file"
ok 'and with all its owners' complete 4
ok 'nobody was held for gone' eval '! said 4 "does not answer"'
ok 'it is read' cmp "$TEST_DIR/random" "$TEST_DIR/4/mnt/file"
done_testing
