#!/bin/bash
# A member that lies, in each way that the protocol leaves it (in some of them without SOAK=1; LIES='...' names others): what it says is
# not believed, what it does not do others do, and it gets no more than its share of their memory and sockets.  And one that says what
# a later version may say, which nobody minds.
. "$(dirname "$0")/lib.sh"

ok 'a ring is made' ring_create
for n in 1 2 3 4; do ok "node $n starts" node_start "$n" dhtd || bail_out 'no ring'; done
ok 'a mount joins' node_start 5 dhtfs
ok 'and a reader that keeps nothing' node_start 6 dhtfs --no-store
ok 'all have one view' views 6 0 1 2 3 4 5 6
ok 'files are written' load write "$TEST_DIR/5/mnt" "$TEST_DIR/before" 50 50000
ok 'and safe' ctl 5 sync
liar_pid=
trap 'status=$?; kill "$liar_pid" 2>/dev/null; cluster_cleanup "$status"' EXIT

resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$(node_pid "$1")/status"; }
sockets() { find "/proc/$(node_pid "$1")/fd" -mindepth 1 | wc -l; }
# Who is asked is whoever answers soonest: where that was never the liar, it is when all others have been slow for a while.
is_said() {
	local n reader
	wait_until 5 somebody_said "$1" && return
	mkdir "$TEST_DIR/5/mnt/$where.more"
	load write "$TEST_DIR/5/mnt/$where.more" "$TEST_DIR/more" 30 50000
	for n in 1 2 3 4; do kill -STOP "$(node_pid "$n")"; done
	# All at once: a read that has asked one of them goes on to the next owner after 10 seconds.
	cut -d' ' -f1 "$TEST_DIR/more" | (cd "$TEST_DIR/6/mnt/by-hash" && exec timeout 60 xargs -P 30 -n 1 cat) >"$TEST_DIR/was_read" 2>&1 &
	reader=$!
	wait_until 40 somebody_said "$1"
	for n in 1 2 3 4; do kill -CONT "$(node_pid "$n")"; done
	wait "$reader"
	rm "$TEST_DIR/more"
	wait_until 20 somebody_said "$1"
}

# costs: memory and sockets of all that are honest.
costs() {
	local n
	for n in 1 2 3 4 5 6; do
		[ "$(resident_kib "$n")" -lt $((before_kib[n] + 65536 * SLOW)) ] && [ "$(sockets "$n")" -le $((before_fds[n] + 12)) ] || {
			echo "node $n: ${before_kib[n]} KiB and ${before_fds[n]} files before, $(resident_kib "$n") and $(sockets "$n") after"
			return 1
		}
	done
}
for n in 1 2 3 4 5 6; do before_kib[n]=$(resident_kib "$n"); before_fds[n]=$(sockets "$n"); done

# liar_start LIE...: it is a member when this returns, and owns its part.
liar_start() {
	"$B/tests/cluster/helpers/liar" "$RING" "$(address "$where"):4377" "$(address 1):4377" "$@" >"$TEST_DIR/liar.$1" 2>&1 &
	liar_pid=$!
	wait_until 20 grep -qs member "$TEST_DIR/liar.$1" && views 7 0 1 2 3 4 5 6
}

liar_id() { awk '/^member/ { print $2 }' "$TEST_DIR/liar.$1"; }

liar_stop() {
	kill "$liar_pid"
	wait "$liar_pid"
	diag "$1: $(xargs <"$TEST_DIR/liar.$1" | cut -d' ' -f3-)"
	ctl 1 evict "$(liar_id "$1")" --admin "$RING.admin" && views 6 0 1 2 3 4 5 6
}

somebody_said() { grep -qE "$1" "$TEST_DIR"/[1-6]/log; }

where=30
# lies LIE REASON: under it all works; the log has REASON, if one is given.
lies() {
	local record=$TEST_DIR/record.$1
	where=$((where + 1))
	ok "$1: it becomes a member" liar_start "$1" || { kill "$liar_pid"; return; }
	mkdir "$TEST_DIR/5/mnt/$1"
	ok "$1: files are written and acknowledged" timeout 60 python3 "$helpers/load.py" write "$TEST_DIR/5/mnt/$1" "$record" 4 50000
	is "$1: all of them" "$(wc -l <"$record")" 4
	ok "$1: and read elsewhere" timeout 60 python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$record" 20
	head -n 5 "$TEST_DIR/before" >"$TEST_DIR/some"
	sed -i 1,5d "$TEST_DIR/before"
	ok "$1: and what was there before" timeout 60 python3 "$helpers/load.py" read "$TEST_DIR/6/mnt/by-hash" "$TEST_DIR/some" 20
	[ -z "${2:-}" ] || ok "$1: the log says so" is_said "$(liar_id "$1"): .*$2"
	ok "$1: at no great cost" costs
	ok "$1: the ring is as before when it is evicted" liar_stop "$1"
}

# What the log has to say of each, where it can know.
declare -A reason=(
	[bytes]='wrong answers; the last:' [kind]='wrong answers; the last:'
)
all='bytes kind miss stored slow silent garbage oversized leases later'
few='bytes leases later'
for lie in ${LIES:-$([ -n "${SOAK:-}" ] && echo "$all" || echo "$few")}; do lies "$lie" "${reason[$lie]:-}"; done
ok 'all is read in the end' load read "$TEST_DIR/5/mnt/by-hash" <(cat "$TEST_DIR"/record.*)
done_testing
