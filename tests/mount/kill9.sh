#!/bin/bash
# kill -9 of the mount at random moments of a copy: after each, it mounts again and the tree is
# whole.  5 times, 50 with SOAK=1; SEED=n replays what was written, and for how long.
. "$(dirname "$0")/../lib/mount.sh"
crash="python3 $(dirname "$0")/helpers/crash.py"
rounds=5
[ -z "${SOAK:-}" ] || rounds=50
SEED=${SEED:-$SRANDOM}
RANDOM=$SEED
diag "SEED=$SEED"
mount_use crashed
mkdir "$TEST_DIR/records"

# between LOW HIGH: a random number of milliseconds, as seconds.
between() {
	local ms=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1)))
	printf '%d.%03d' $((ms / 1000)) $((ms % 1000))
}

digest() {
	(cd "$MNT/tree" && find "$@" -type f -print0 | sort -z | xargs -0r b2sum -l 256)
}

# The index is as the last commit left it; what is behind it is read, and may end in a torn record.
# A rebuild would be a bug.
opened_well() {
	! tail -n +"$1" "$LOG" | grep -E 'made anew|damaged|leads astray|set aside|failed|lost'
}

# begin KIND: one who writes until the mount is gone.
begin() {
	$crash "$1" "$MNT/tree" "$records" "$SEED" "$round" 2>"$records/$1.err" &
	writers+=($!)
}

# A crash of the process that recovers from a crash.
kill_while_mounting() {
	local pid
	"$MOUNT_PROGRAM" -f --store "$STORE" "$MNT" >>"$LOG" 2>&1 &
	pid=$!
	sleep "$(between 0 60)"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	while mount_is_there; do umount -l "$MNT" || return; done
}

ok 'a new store mounts' mount_start
mkdir "$MNT/tree"
for ((round = 1; round <= rounds; round++)); do
	records=$TEST_DIR/records/$round
	mkdir "$records"
	writers=()
	begin write && begin copy
	# Not before the files are there that are then replaced and cut.  This sync is of everything,
	# as it is at that moment; the last writer cuts files that must never be seen so.
	wait_until 60 grep -qs '"synced", ""' "$records/write"
	begin cut
	wait_until 60 grep -qs '"synced"' "$records/cut"
	sleep "$(between 1 3500)"
	mount_kill
	wait "${writers[@]}" || diag "$(cat "$records"/*.err)"
	((round % 2)) || kill_while_mounting

	lines=$(wc -l <"$LOG")
	ok "round $round: it mounts again" mount_start || bail_out 'no mount'
	ok "round $round: without a rebuild" opened_well $((lines + 1))
	ok "round $round: what is there is of one moment, and all that was synced" \
		$crash verify "$MNT/tree" "$records" "$SEED" "$round" && diag "$(<"$TEST_DIR/.output")"
	((round % 10 && round != rounds)) ||
		ok "round $round: the store has no bad chunk" "$B/dhtctl" --store "$STORE" check
	((round == 1)) || is "round $round: what the round before left stays" \
		"$(digest "r$((round - 1))" "copy$((round - 1))" "cut$((round - 1))")" "$before"
	before=$(digest "r$round" "copy$round" "cut$round")
	rm -r "$records"
done
ok 'it unmounts' mount_stop
done_testing
