#!/bin/bash
# What is written to files comes back: case by case, then by random operations beside a model.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(dirname "$0")/helpers
exercise=$B/tests/mount/helpers/exercise
seconds=${SOAK:+120}
seconds=${seconds:-12}

export STORE
# With a limit of its own, what is free does not depend on what else happens on the disk.
ok 'it mounts' mount_start --size-max 8G
mkdir "$MNT/cases"
cases python3 "$helpers/data.py" "$MNT/cases"
is 'nothing stays of them' "$(ls "$MNT/cases")" ''
ok 'it mounts without a limit' mount_restart

# Two at once, in different ways: with room in memory, and (below) at the bound all the time.
exercised() {
	local pids=() i status=0
	for i in 1 2; do
		mkdir -p "$MNT/exercise$i"
		"$exercise" "$MNT/exercise$i" "$seconds" >"$TEST_DIR/exercise$i" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || status=1; done
	cat "$TEST_DIR"/exercise[12]
	return "$status"
}
sums() { (cd "$MNT" && b2sum exercise*/*); }

ok "random operations for $seconds s" exercised
diag "$(cat "$TEST_DIR"/exercise[12])"
before=$(sums)
ok 'it mounts again, with little memory' mount_restart --dirty-max 4M --cache 4M
is 'and the files are the same' "$(sums)" "$before"
seconds=$((seconds / 2))
ok "random operations with little memory for $seconds s" exercised
diag "$(cat "$TEST_DIR"/exercise[12])"
before=$(sums)
ok 'it mounts once more' mount_restart
is 'with the same files' "$(sums)" "$before"
ok 'it unmounts' mount_stop
done_testing
