#!/bin/bash
# A mount with a small disk that keeps nothing for others: what it wrote before is only cached there, and makes room for what it writes.
. "$(dirname "$0")/lib.sh"

FILES=8
MIB=16

ok 'a ring is made' ring_create
for n in 1 2 3; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount with a small disk joins' node_start 4 dhtfs --no-store --size-max 64M --dirty-max 8M
ok 'all have one view' views 4 0 1 2 3 4
echo first >"$TEST_DIR/4/mnt/first"
kept=$(ctl 4 snapshot kept)
is 'a snapshot is taken' "${#kept}" 64

# available: MiB, as df says.
available() { df --output=avail -BM "$TEST_DIR/4/mnt" | tail -n 1 | tr -d 'M '; }
for ((i = 1; i <= FILES; i++)); do
	head -c "${MIB}M" /dev/urandom >"$TEST_DIR/random.$i"
	ok "file $i is written" cp "$TEST_DIR/random.$i" "$TEST_DIR/4/mnt/file.$i"
	ok 'and safe' timeout 60 sync "$TEST_DIR/4/mnt/file.$i"
	# Who writes waits 20 s for room: a sanitizer's owners may take longer to prove what they have.
	[ "$SLOW" = 1 ] || ok 'and only cached' wait_until "$BOUND_S" is_complete 4
done
diag "$(available) MiB are available"
ok 'what is only cached counts as available' wait_until "$BOUND_S" eval '[ "$(available)" -ge 32 ]'
ok 'no snapshot was dropped to make room' grep -q "$kept" <<<"$(ctl 4 snapshots)"
for ((i = 1; i <= FILES; i++)); do
	ok "file $i is read" cmp "$TEST_DIR/random.$i" "$TEST_DIR/4/mnt/file.$i"
done
ok 'nobody has more than his disk' test "$(field 4 space_used_bytes)" -le $((64 << 20))
done_testing
